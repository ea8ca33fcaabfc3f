output "proxy_function" {
  description = "Name of the proxy function: tapway attach --via lambda:NAME."
  value       = aws_lambda_function.proxy.function_name
}

output "proxy_arn" {
  description = "ARN of the proxy function."
  value       = aws_lambda_function.proxy.arn
}

output "proxy_invoke_arn" {
  description = "What the integration of an API that Terraform owns takes as its uri."
  value       = aws_lambda_function.proxy.invoke_arn
}

output "forwarder_function" {
  description = "Name of the forwarder function."
  value       = aws_lambda_function.forwarder.function_name
}

output "function_url" {
  description = "The proxy's own address: tapway attach --via url:URL. null if there is none."
  value       = one(aws_lambda_function_url.proxy[*].function_url)
}

output "queues" {
  description = "URL of each destination's queue."
  value       = { for name, q in aws_sqs_queue.records : name => q.url }
}

output "dead_letter_queues" {
  description = "URL of each destination's dead-letter queue."
  value       = { for name, q in aws_sqs_queue.dead : name => q.url }
}

output "bucket" {
  description = "The bucket for large records, spilled ones, and the state of attached APIs."
  value       = aws_s3_bucket.records.id
}

output "topic" {
  description = "SNS topic of the alarms, to subscribe more than one address."
  value       = aws_sns_topic.alarms.arn
}

output "security_group" {
  description = "The functions' security group, to be let in by the backend's. null outside a VPC."
  value       = one(aws_security_group.functions[*].id)
}

output "configuration" {
  description = "What to write into tapway.yaml so that the command line works on these queues."
  value = {
    queue  = "sqs://${var.name}-{destination}"
    bucket = aws_s3_bucket.records.id
    lambda = { dead_letter_queue = "sqs://${var.name}-{destination}-dead" }
  }
}
