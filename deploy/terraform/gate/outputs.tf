output "api_keys" {
  description = "The keys by name. Give them to their owners; they are no proof of identity."
  value       = { for name, key in aws_api_gateway_api_key.key : name => key.value }
  sensitive   = true
}

output "usage_plan_ids" {
  description = "The usage plans by name."
  value       = { for name, plan in aws_api_gateway_usage_plan.plan : name => plan.id }
}

output "access_log_settings" {
  description = "What the stage takes as access_log_settings. null without access_logs."
  value = var.access_logs == null ? null : {
    destination_arn = aws_cloudwatch_log_group.access[0].arn
    format = jsonencode({
      requestId = "$context.requestId", time = "$context.requestTimeEpoch", ip = "$context.identity.sourceIp", method = "$context.httpMethod",
      path      = "$context.path", route = "$context.resourcePath", status = "$context.status", bytes = "$context.responseLength",
      latency   = "$context.responseLatency", integration = "$context.integration.latency", error = "$context.error.messageString", trace = "$context.xrayTraceId"
    })
  }
}

output "domain_target" {
  description = "Where the domain's DNS record points to. null without a domain."
  value       = one(aws_api_gateway_domain_name.domain[*].regional_domain_name)
}

output "vpc_endpoint_id" {
  description = "The endpoint of private APIs, for their resource policies (aws:SourceVpce). null without private."
  value       = one(aws_vpc_endpoint.private[*].id)
}
