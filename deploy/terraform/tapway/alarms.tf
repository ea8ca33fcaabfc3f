resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
  tags              = local.tags
}

resource "aws_sns_topic_subscription" "email" {
  count = var.alarm_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

locals {
  # A minute in which nothing was measured is no alarm, and ends none.
  per_queue = {
    for pair in flatten([for name, _ in var.destinations : [
      {
        key         = "${name}-dead", severity = "critical", metric = "ApproximateNumberOfMessagesVisible", queue = aws_sqs_queue.dead[name].name, above = 0, minutes = 1
        description = "Records that ${name} would not take. See why with: tapway dlq list; put them back with: tapway dlq redrive."
      },
      {
        key         = "${name}-oldest", severity = "warning", metric = "ApproximateAgeOfOldestMessage", queue = aws_sqs_queue.records[name].name, above = var.oldest_age_alarm, minutes = 3
        description = "Records wait for ${name}: it is down, slow, or throttled. Nothing is lost for ${var.queue_retention_days} days."
      },
    ]]) : pair.key => pair
  }

  per_function = merge(length(local.ceilings) == 0 ? {} : {
    "ceiling"      = { namespace = "tapway", metric = "ceiling", function = "proxy", above = 0, minutes = 1, description = "The day's ceiling of calls or cost is reached: calls are answered 429 until midnight UTC. See who calls, then raise daily_calls or daily_cost." }
    "ceiling-near" = { namespace = "tapway", metric = "ceiling_near", function = "proxy", above = 0, minutes = 1, description = "Four fifths of the day's ceiling of calls or cost are used." }
    }, {
    "proxy-errors"        = { namespace = "AWS/Lambda", metric = "Errors", function = "proxy", above = 0, minutes = 1, description = "The proxy function failed: a crash, a timeout, or it cannot start. See its log." }
    "proxy-throttles"     = { namespace = "AWS/Lambda", metric = "Throttles", function = "proxy", above = 0, minutes = 1, description = "Calls were refused because no more functions may run at once. Raise proxy_concurrency, or the account's limit." }
    "forwarder-errors"    = { namespace = "AWS/Lambda", metric = "Errors", function = "forwarder", above = 0, minutes = 3, description = "The forwarder function failed. Records stay queued. See its log." }
    "forwarder-throttles" = { namespace = "AWS/Lambda", metric = "Throttles", function = "forwarder", above = 0, minutes = 15, description = "The forwarder may not run as often as it should. Records stay queued." }
    "lost"                = { namespace = "tapway", metric = "lost", function = "proxy", above = 0, minutes = 1, description = "Calls without a record: the ledger's drops. The proxy's log says why." }
    "spilled"             = { namespace = "tapway", metric = "spilled", function = "proxy", above = 0, minutes = 1, description = "SQS did not take records; they are in the bucket. Enqueue them with: tapway queue recover." }
    "logged"              = { namespace = "tapway", metric = "logged", function = "proxy", above = 0, minutes = 1, description = "Neither SQS nor the bucket took records; they are in the proxy's log. Enqueue them with: tapway queue recover --from-log." }
  })
}

resource "aws_cloudwatch_metric_alarm" "queue" {
  for_each = local.per_queue

  alarm_name          = "${var.name}-${each.key}-${each.value.severity}"
  alarm_description   = each.value.description
  namespace           = "AWS/SQS"
  metric_name         = each.value.metric
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = 60
  evaluation_periods  = each.value.minutes
  treat_missing_data  = "ignore"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = merge(local.tags, { severity = each.value.severity })
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each = local.per_function

  alarm_name          = "${var.name}-${each.key}-warning"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.namespace == "tapway" ? { function = "${var.name}-${each.value.function}", role = each.value.function } : { FunctionName = "${var.name}-${each.value.function}" }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = 60
  evaluation_periods  = each.value.minutes
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = merge(local.tags, { severity = "warning" })
}
