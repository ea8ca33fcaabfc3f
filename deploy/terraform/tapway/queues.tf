# One queue and one dead-letter queue for each destination. tapway moves dead letters itself,
# with their reason; the redrive policy is for records that crash a forwarder.

resource "aws_sqs_queue" "dead" {
  for_each = var.destinations

  name                       = "${var.name}-${each.key}-dead"
  message_retention_seconds  = 14 * 86400
  max_message_size           = var.max_message_size
  visibility_timeout_seconds = 600
  sqs_managed_sse_enabled    = var.kms_key_arn == null ? true : null
  kms_master_key_id          = var.kms_key_arn
  tags                       = local.tags
}

resource "aws_sqs_queue" "records" {
  for_each = var.destinations

  name                       = "${var.name}-${each.key}"
  message_retention_seconds  = var.queue_retention_days * 86400
  max_message_size           = var.max_message_size
  visibility_timeout_seconds = min(6 * var.forwarder_timeout, 43200)
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = var.kms_key_arn == null ? true : null
  kms_master_key_id          = var.kms_key_arn
  tags                       = local.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = var.max_receives
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  for_each = var.redrive_allow_policy ? var.destinations : {}

  queue_url = aws_sqs_queue.dead[each.key].id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.records[each.key].arn]
  })
}

# Nobody speaks to the queues in the clear.
resource "aws_sqs_queue_policy" "tls" {
  for_each = var.require_tls ? merge(
    { for name, q in aws_sqs_queue.records : name => q },
    { for name, q in aws_sqs_queue.dead : "${name}-dead" => q },
  ) : {}

  queue_url = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTLS"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = each.value.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
