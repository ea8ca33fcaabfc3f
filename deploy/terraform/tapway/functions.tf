resource "aws_cloudwatch_log_group" "proxy" {
  name              = "/aws/lambda/${var.name}-proxy"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}

resource "aws_cloudwatch_log_group" "forwarder" {
  name              = "/aws/lambda/${var.name}-forwarder"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = local.tags
}

resource "aws_lambda_function" "proxy" {
  function_name                  = "${var.name}-proxy"
  description                    = "tapway: passes calls on and records them"
  role                           = aws_iam_role.proxy.arn
  filename                       = var.package
  source_code_hash               = filebase64sha256(var.package)
  runtime                        = "provided.al2023"
  architectures                  = [var.architecture]
  handler                        = "bootstrap"
  memory_size                    = var.memory
  timeout                        = var.proxy_timeout
  reserved_concurrent_executions = var.proxy_concurrency
  kms_key_arn                    = var.kms_key_arn
  tags                           = local.tags

  environment {
    variables = merge(local.environment, {
      TAPWAY_ROLE          = "proxy"
      TAPWAY_ROUTES        = "s3://${aws_s3_bucket.records.id}/routes/" # of attached APIs: ID.json
      AWS_LAMBDA_LOG_LEVEL = upper(var.log_level)
    })
  }

  dynamic "vpc_config" {
    for_each = var.vpc[*]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = concat(aws_security_group.functions[*].id, vpc_config.value.security_group_ids)
    }
  }

  tracing_config {
    mode = "PassThrough"
  }

  depends_on = [aws_cloudwatch_log_group.proxy, aws_iam_role_policy.proxy]

  lifecycle {
    precondition {
      condition     = !(try(var.function_url.stream, false) && var.vpc != null)
      error_message = "A Function URL cannot stream from a VPC: leave function_url.stream or vpc out, or stream through a REST API."
    }
  }
}

resource "aws_lambda_function" "forwarder" {
  function_name    = "${var.name}-forwarder"
  description      = "tapway: delivers records"
  role             = aws_iam_role.forwarder.arn
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  runtime          = "provided.al2023"
  architectures    = [var.architecture]
  handler          = "bootstrap"
  memory_size      = var.memory
  timeout          = var.forwarder_timeout
  kms_key_arn      = var.kms_key_arn
  tags             = local.tags

  environment {
    variables = merge(local.environment, { TAPWAY_ROLE = "forwarder", AWS_LAMBDA_LOG_LEVEL = upper(var.log_level) })
  }

  dynamic "vpc_config" {
    for_each = var.vpc[*]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = concat(aws_security_group.functions[*].id, vpc_config.value.security_group_ids)
    }
  }

  tracing_config {
    mode = "PassThrough"
  }

  depends_on = [aws_cloudwatch_log_group.forwarder, aws_iam_role_policy.forwarder]
}

resource "aws_lambda_event_source_mapping" "forwarder" {
  for_each = var.destinations

  event_source_arn        = aws_sqs_queue.records[each.key].arn
  function_name           = aws_lambda_function.forwarder.arn
  batch_size              = var.batch_size
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = local.tags

  scaling_config {
    maximum_concurrency = each.value.concurrency
  }
}

resource "aws_lambda_permission" "api" {
  for_each = var.apis

  statement_id  = "api-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.proxy.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "arn:${local.partition}:execute-api:${local.region}:${local.account}:${each.value}/*/*"
}

resource "aws_lambda_function_url" "proxy" {
  count = var.function_url == null ? 0 : 1

  function_name      = aws_lambda_function.proxy.function_name
  authorization_type = var.function_url.auth
  invoke_mode        = var.function_url.stream ? "RESPONSE_STREAM" : "BUFFERED"
}

# A public Function URL needs both: lambda:InvokeFunctionUrl and, since October 2025,
# lambda:InvokeFunction. The condition lambda:InvokedViaFunctionUrl, which narrows the second one,
# is not in this provider yet.
resource "aws_lambda_permission" "url" {
  count = try(var.function_url.auth, "") == "NONE" ? 1 : 0

  statement_id           = "url"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = aws_lambda_function.proxy.function_name
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "url_invoke" {
  count = try(var.function_url.auth, "") == "NONE" ? 1 : 0

  statement_id  = "url-invoke"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.proxy.function_name
  principal     = "*"
}
