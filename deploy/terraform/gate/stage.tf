data "aws_region" "current" {}
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name
  account    = data.aws_caller_identity.current.account_id
  stage_arn  = "arn:${local.partition}:apigateway:${local.region}::/restapis/${var.rest_api_id}/stages/${var.stage}"
  invoke_arn = "arn:${local.partition}:execute-api:${local.region}:${local.account}:${var.rest_api_id}"

  # Settings of every method first, then of single ones. A setting that one call leaves out
  # another must not undo: throttling and cache of one path stand in one resource.
  throttled = var.throttle == null ? {} : merge({ "*/*" = { rate = var.throttle.rate, burst = var.throttle.burst } }, var.throttle.methods)
  cached    = var.cache == null ? [] : var.cache.methods
  paths     = toset(concat(keys(local.throttled), local.cached))
}

resource "aws_api_gateway_method_settings" "stage" {
  for_each = local.paths

  rest_api_id = var.rest_api_id
  stage_name  = var.stage
  method_path = each.value

  settings {
    throttling_rate_limit                      = try(local.throttled[each.value].rate, -1)
    throttling_burst_limit                     = try(local.throttled[each.value].burst, -1)
    caching_enabled                            = contains(local.cached, each.value)
    cache_ttl_in_seconds                       = contains(local.cached, each.value) ? var.cache.ttl : null
    cache_data_encrypted                       = contains(local.cached, each.value) ? true : null
    require_authorization_for_cache_control    = contains(local.cached, each.value) ? true : null
    unauthorized_cache_control_header_strategy = contains(local.cached, each.value) ? "FAIL_WITH_403" : null
  }
}

resource "aws_wafv2_web_acl_association" "stage" {
  count = var.web_acl_arn == null ? 0 : 1

  resource_arn = local.stage_arn
  web_acl_arn  = var.web_acl_arn
}

locals {
  cidrs = var.ip_policy == null ? null : jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{ Effect = "Allow", Principal = "*", Action = "execute-api:Invoke", Resource = "${local.invoke_arn}/*" }],
      length(var.ip_policy.allow) == 0 ? [] : [{
        Effect    = "Deny", Principal = "*", Action = "execute-api:Invoke", Resource = "${local.invoke_arn}/*"
        Condition = { NotIpAddress = { "aws:SourceIp" = var.ip_policy.allow } }
      }],
      length(var.ip_policy.deny) == 0 ? [] : [{
        Effect    = "Deny", Principal = "*", Action = "execute-api:Invoke", Resource = "${local.invoke_arn}/*"
        Condition = { IpAddress = { "aws:SourceIp" = var.ip_policy.deny } }
      }],
    )
  })
  policy = var.resource_policy != null ? var.resource_policy : local.cidrs
}

resource "aws_api_gateway_rest_api_policy" "gate" {
  count = var.resource_policy == null && var.ip_policy == null ? 0 : 1

  rest_api_id = var.rest_api_id
  policy      = local.policy

  lifecycle {
    precondition {
      condition     = var.resource_policy == null || var.ip_policy == null
      error_message = "resource_policy and ip_policy exclude each other: write the addresses into the policy."
    }
  }
}
