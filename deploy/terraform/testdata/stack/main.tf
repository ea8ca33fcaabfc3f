# Everything at once, against an emulator of AWS at var.endpoint.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "endpoint" {
  type = string
}

variable "package" {
  type = string
}

variable "destination" {
  type    = string
  default = "http://127.0.0.1:9/in"
}

provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "AKID"
  secret_key                  = "secret"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  s3_use_path_style           = true
  endpoints {
    apigateway = var.endpoint
    cloudwatch = var.endpoint
    dynamodb   = var.endpoint
    ec2        = var.endpoint
    iam        = var.endpoint
    lambda     = var.endpoint
    logs       = var.endpoint
    s3         = var.endpoint
    sns        = var.endpoint
    sqs        = var.endpoint
    sts        = var.endpoint
  }
}

module "api" {
  source             = "../../example-api"
  backend            = "http://127.0.0.1:9"
  binary_media_types = [] # the emulator forgets them
  throttle           = null
}

resource "aws_vpc" "private" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "private" {
  vpc_id     = aws_vpc.private.id
  cidr_block = "10.0.1.0/24"
}

module "tapway" {
  source               = "../../tapway"
  package              = var.package
  backend              = "http://127.0.0.1:9"
  alarm_email          = "ops@example.com"
  function_url         = { auth = "NONE" }
  apis                 = { example = module.api.api_id }
  redrive_allow_policy = false
  require_tls          = false
  daily_calls          = 1000
  daily_cost           = 5
  secret_arns          = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:lake-abc123"]
  tapped_functions     = ["arn:aws:lambda:eu-west-1:123456789012:function:users:live"]
  settings             = { capture = { max_body = "1MiB" } }
  vpc = {
    id         = aws_vpc.private.id
    subnet_ids = [aws_subnet.private.id]
    egress     = [{ description = "the backend", cidr = "10.0.2.0/24", port = 8443 }]
  }
  destinations = {
    siem = { url = var.destination }
    lake = { url = "http://127.0.0.1:9/lake", headers = { Authorization = "$${aws-secretsmanager:lake}" }, concurrency = 2, retry = { max_attempts = 3 }, tls = { server_name = "lake" } }
  }
}

module "gate" {
  source       = "../../gate"
  rest_api_id  = module.api.api_id
  stage        = module.api.stage
  throttle     = { rate = 20, burst = 40, methods = { "users/GET" = { rate = 5, burst = 5 } } }
  access_logs  = {}
  account_role = true
  usage_plans = {
    global = { rate = 50, burst = 100, quota = { limit = 1000, period = "DAY" }, keys = ["secret"] }
  }
}

output "api_id" {
  value = module.api.api_id
}

output "proxy_function" {
  value = module.tapway.proxy_function
}

output "queues" {
  value = module.tapway.queues
}

output "bucket" {
  value = module.tapway.bucket
}
