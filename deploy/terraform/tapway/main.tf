# What the functions are told, made once for both: the proxy needs the destinations' names, the
# forwarder all of them. It lies in the bucket, under a name that changes with its content, so
# that a change reaches the functions with the next deployment and never half.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}
data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.name
  partition = data.aws_partition.current.partition
  tags      = merge({ "tapway:name" = var.name }, var.tags)

  configuration = merge(
    var.settings,
    var.backend == null ? {} : { backend = var.backend },
    local.counters && local.counted_in == "auto" ? { access = merge(try(var.settings.access, {}), { counters = "dynamodb://${aws_dynamodb_table.counters[0].name}" }) } : {},
    length(local.ceilings) == 0 ? {} : { limits = merge(try(var.settings.limits, {}), local.ceilings) },
    {
      queue  = "sqs://${var.name}-{destination}"
      bucket = aws_s3_bucket.records.id
      lambda = merge(try(var.settings.lambda, {}), {
        capture           = var.capture
        stream            = try(var.function_url.stream, false)
        dead_letter_queue = "sqs://${var.name}-{destination}-dead"
      })
      destinations = [for name, d in var.destinations : merge(
        { name = name, url = d.url, format = d.format, timeout = d.timeout },
        length(d.headers) == 0 ? {} : { headers = d.headers },
        d.signing_secret == null ? {} : { signing_secret = concat([d.signing_secret], d.old_secrets) },
        { for key in ["batch", "retry", "tls"] : key => { for k, v in d[key] : k => v if v != null } if d[key] != null },
        d.if == null ? {} : { if = d.if },
      )]
    },
  )
  text = yamlencode(local.configuration)

  environment = {
    TAPWAY_CONFIG = "s3://${aws_s3_bucket.records.id}/${aws_s3_object.configuration.key}"
  }
}

resource "aws_s3_object" "configuration" {
  bucket       = aws_s3_bucket.records.id
  key          = "config/${sha256(local.text)}.yaml"
  content      = local.text
  content_type = "application/yaml"
  tags         = local.tags

  depends_on = [aws_s3_bucket_public_access_block.records, aws_s3_bucket_server_side_encryption_configuration.records]

  lifecycle {
    create_before_destroy = true # running functions still read the old one
    precondition {
      condition     = !var.shared_counters || local.counters
      error_message = "shared_counters makes a table, but settings.access.counters says where else to count: leave one of them out."
    }
  }
}
