locals {
  trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })

  has_routes = var.backend != null || can(var.settings.routes) || can(var.settings.openapi)

  queue_arns = [for q in aws_sqs_queue.records : q.arn]
  dead_arns  = [for q in aws_sqs_queue.dead : q.arn]

  secrets    = [for arn in var.secret_arns : arn if !strcontains(arn, ":ssm:")]
  parameters = [for arn in var.secret_arns : arn if strcontains(arn, ":ssm:")]

  # What both functions need besides their work.
  common = concat(
    [{
      Sid      = "Configuration"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["${aws_s3_bucket.records.arn}/config/*"]
    }],
    length(local.secrets) == 0 ? [] : [{
      Sid      = "Secrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = local.secrets
    }],
    length(local.parameters) == 0 ? [] : [{
      Sid      = "Parameters"
      Effect   = "Allow"
      Action   = ["ssm:GetParameter", "ssm:GetParameters"]
      Resource = local.parameters
    }],
    var.kms_key_arn == null ? [] : [{
      Sid      = "Key"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = [var.kms_key_arn]
    }],
    # Lambda makes the network interfaces; AWS knows no resource to narrow it to.
    var.vpc == null ? [] : [{
      Sid    = "Network"
      Effect = "Allow"
      Action = [
        "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
      ]
      Resource = ["*"]
    }],
  )
}

resource "aws_iam_role" "proxy" {
  name               = "${var.name}-proxy-${local.region}"
  description        = "What the tapway proxy function may do"
  assume_role_policy = local.trust
  tags               = local.tags
}

resource "aws_iam_role" "forwarder" {
  name               = "${var.name}-forwarder-${local.region}"
  description        = "What the tapway forwarder function may do"
  assume_role_policy = local.trust
  tags               = local.tags
}

resource "aws_iam_role_policy" "proxy" {
  name = "tapway"
  role = aws_iam_role.proxy.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.proxy.arn}:*"]
      },
      {
        Sid      = "Send"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
        Resource = local.queue_arns
      },
      {
        Sid      = "Store"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = ["${aws_s3_bucket.records.arn}/records/*", "${aws_s3_bucket.records.arn}/spill/*"]
      },
      {
        Sid      = "Routes"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${aws_s3_bucket.records.arn}/routes/*"]
      },
      ],
      # Without it S3 answers 403 for a route table that is not there, and calls of an API without one would
      # be refused, where they are to go to the proxy's own backend.
      !local.has_routes ? [] : [{
        Sid       = "Missing"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [aws_s3_bucket.records.arn]
        Condition = { StringLikeIfExists = { "s3:prefix" = ["routes/*"] } } # a read has no prefix
      }],
      length(var.tapped_functions) == 0 ? [] : [{
        Sid      = "Tapped"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunction"]
        Resource = var.tapped_functions
      }],
    local.common)
  })
}

resource "aws_iam_role_policy" "forwarder" {
  name = "tapway"
  role = aws_iam_role.forwarder.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.forwarder.arn}:*"]
      },
      {
        Sid      = "Receive"
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
        Resource = local.queue_arns
      },
      {
        Sid      = "Bury"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
        Resource = local.dead_arns
      },
      {
        Sid      = "Large"
        Effect   = "Allow"
        Action   = try(var.settings.lambda.delete_objects, false) ? ["s3:GetObject", "s3:DeleteObject"] : ["s3:GetObject"]
        Resource = ["${aws_s3_bucket.records.arn}/records/*"]
      },
      # Without it S3 answers 403 for a record that is gone, which then is tried again as if it were only forbidden.
      {
        Sid       = "Missing"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [aws_s3_bucket.records.arn]
        Condition = { StringLikeIfExists = { "s3:prefix" = ["records/*"] } } # a read has no prefix
      },
      # Without it the forwarder cannot tell that somebody took ReportBatchItemFailures off its triggers. AWS knows no resource for it.
      {
        Sid      = "Triggers"
        Effect   = "Allow"
        Action   = ["lambda:ListEventSourceMappings"]
        Resource = ["*"]
      },
    ], local.common)
  })
}
