# The example API, tapway in front of nothing yet, and the gate. Then:
#
#   tapway attach --api $(terraform output -raw api_id) --via lambda:$(terraform output -raw proxy_function)

terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-west-1"
}

variable "destination" {
  description = "URL that records are delivered to."
  type        = string
}

variable "package" {
  description = "The function package: `make lambda` writes bin/tapway-lambda-arm64.zip."
  type        = string
}

variable "alarm_email" {
  description = "Who is told of alarms."
  type        = string
  default     = null
}

module "api" {
  source = "../../example-api"
}

module "tapway" {
  source      = "../../tapway"
  package     = var.package
  backend     = "https://jsonplaceholder.typicode.com"
  alarm_email = var.alarm_email
  destinations = {
    default = { url = var.destination }
  }
}

module "gate" {
  source      = "../../gate"
  rest_api_id = module.api.api_id
  stage       = module.api.stage
  usage_plans = {
    global = { rate = 50, burst = 100, quota = { limit = 1000, period = "DAY" }, keys = ["secret"] }
  }
}

output "api_id" {
  value = module.api.api_id
}

output "url" {
  value = module.api.url
}

output "proxy_function" {
  value = module.tapway.proxy_function
}

output "configuration" {
  value = module.tapway.configuration
}
