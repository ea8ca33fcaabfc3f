# The stage belongs to whoever made it, so its access_log_settings must name this group there;
# the module makes the group, the format and, if asked, the account's role.

resource "aws_cloudwatch_log_group" "access" {
  count = var.access_logs == null ? 0 : 1

  name              = "/aws/apigateway/${var.name}-${var.rest_api_id}-${var.stage}"
  retention_in_days = var.access_logs.retention_days
  kms_key_id        = var.access_logs.kms_key_arn
  tags              = var.tags
}

resource "aws_iam_role" "logs" {
  count = var.account_role ? 1 : 0

  name = "${var.name}-apigateway-logs-${local.region}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "apigateway.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "logs" {
  count = var.account_role ? 1 : 0

  role       = aws_iam_role.logs[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

resource "aws_api_gateway_account" "logs" {
  count = var.account_role ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.logs[0].arn
  depends_on          = [aws_iam_role_policy_attachment.logs]
}
