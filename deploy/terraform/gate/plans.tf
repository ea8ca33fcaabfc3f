resource "aws_api_gateway_usage_plan" "plan" {
  for_each = var.usage_plans

  name = "${var.name}-${each.key}"
  tags = var.tags

  api_stages {
    api_id = var.rest_api_id
    stage  = var.stage
  }

  dynamic "throttle_settings" {
    for_each = each.value.rate == null ? [] : [each.value]
    content {
      rate_limit  = throttle_settings.value.rate
      burst_limit = coalesce(throttle_settings.value.burst, ceil(throttle_settings.value.rate))
    }
  }

  dynamic "quota_settings" {
    for_each = each.value.quota[*]
    content {
      limit  = quota_settings.value.limit
      period = quota_settings.value.period
      offset = quota_settings.value.offset
    }
  }
}

locals {
  keys = merge([for plan, p in var.usage_plans : { for key in p.keys : "${plan}/${key}" => { plan = plan, key = key } }]...)
}

resource "aws_api_gateway_api_key" "key" {
  for_each = toset([for k in local.keys : k.key])

  name = "${var.name}-${each.value}"
  tags = var.tags
}

resource "aws_api_gateway_usage_plan_key" "key" {
  for_each = local.keys

  key_id        = aws_api_gateway_api_key.key[each.value.key].id
  key_type      = "API_KEY"
  usage_plan_id = aws_api_gateway_usage_plan.plan[each.value.plan].id
}
