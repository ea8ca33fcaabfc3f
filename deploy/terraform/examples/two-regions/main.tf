# The same twice: the module knows no region but its provider's. Each region has its own
# queues, bucket and alarms, and delivers by itself; nothing crosses between them.

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
  alias  = "europe"
  region = "eu-west-1"
}

provider "aws" {
  alias  = "america"
  region = "us-east-1"
}

variable "destination" {
  description = "URL that records of both regions are delivered to."
  type        = string
}

variable "backend" {
  description = "URL of the API behind tapway."
  type        = string
}

variable "package" {
  description = "The function package: `make lambda` writes bin/tapway-lambda-arm64.zip."
  type        = string
}

locals {
  destinations = { default = { url = var.destination } }
}

module "europe" {
  source       = "../../tapway"
  providers    = { aws = aws.europe }
  package      = var.package
  backend      = var.backend
  destinations = local.destinations
}

module "america" {
  source       = "../../tapway"
  providers    = { aws = aws.america }
  package      = var.package
  backend      = var.backend
  destinations = local.destinations
}

output "functions" {
  value = { europe = module.europe.proxy_arn, america = module.america.proxy_arn }
}
