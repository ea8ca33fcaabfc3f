# Rates, quotas and the day's ceilings, counted for all execution environments together. Every item is one key's count
# in one period; AWS removes it a day after the period's end.

locals {
  ceilings = merge(
    var.daily_calls == 0 ? {} : { daily_calls = var.daily_calls },
    var.daily_cost == 0 ? {} : { daily_cost = var.daily_cost },
  )

  # settings.access.counters may name a table of one's own, or say local: then no table is made here.
  counted_in    = coalesce(try(var.settings.access.counters, null), "auto")
  counter_table = one(flatten(regexall("^dynamodb://([^/]+)", local.counted_in)))
  counters = (
    local.counted_in == "auto" ? var.shared_counters || length(local.ceilings) > 0
    : local.counter_table == "${var.name}-counters"
  )
}

resource "aws_dynamodb_table" "counters" {
  count = local.counters ? 1 : 0

  name         = "${var.name}-counters"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "id"
  tags         = local.tags

  attribute {
    name = "id"
    type = "S"
  }

  ttl {
    attribute_name = "expires"
    enabled        = true
  }

  dynamic "server_side_encryption" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]
    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }
}

resource "aws_iam_role_policy" "counters" {
  count = local.counters || local.counter_table != null ? 1 : 0

  name = "counters"
  role = aws_iam_role.proxy.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "Count"
      Effect   = "Allow"
      Action   = ["dynamodb:UpdateItem", "dynamodb:GetItem"]
      Resource = [local.counters ? aws_dynamodb_table.counters[0].arn : "arn:${local.partition}:dynamodb:${local.region}:${local.account}:table/${local.counter_table}"]
    }]
  })
}
