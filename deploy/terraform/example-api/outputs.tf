output "api_id" {
  description = "What tapway discover, attach and status take as --api."
  value       = aws_api_gateway_rest_api.example.id
}

output "stage" {
  description = "Name of the API stage."
  value       = aws_api_gateway_stage.example.stage_name
}

output "url" {
  description = "Where the API is called: append /users."
  value       = aws_api_gateway_stage.example.invoke_url
}
