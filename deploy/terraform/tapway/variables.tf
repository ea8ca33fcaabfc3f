variable "name" {
  description = "Name of this installation; every resource's name begins with it."
  type        = string
  default     = "tapway"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "name: 2 to 31 lower-case letters, digits and '-', beginning with a letter."
  }
}

variable "package" {
  description = "Path of the function package that `make lambda` writes for the architecture."
  type        = string
  validation {
    condition     = endswith(var.package, ".zip")
    error_message = "package: the path of bin/tapway-lambda-arm64.zip or bin/tapway-lambda-amd64.zip; `make lambda` writes them."
  }
}

variable "architecture" {
  description = "Processor of the functions; it must be the package's. arm64 costs about a fifth less."
  type        = string
  default     = "arm64"
  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture: arm64 or x86_64."
  }
}

variable "backend" {
  description = "URL of the API behind tapway. null when settings has routes or openapi."
  type        = string
  default     = null
  validation {
    condition     = var.backend == null || can(regex("^https?://[^/?#@]+", var.backend))
    error_message = "backend: a URL such as https://api.internal."
  }
}

variable "destinations" {
  description = <<-EOT
    Where records go, by name. Each has a queue and a dead-letter queue of its own. headers and
    signing_secret should be references, such as $${aws-secretsmanager:NAME}: what stands here
    itself is readable in Terraform's state and in the bucket. concurrency bounds how many
    forwarders run at once for it (2 to 1000), and so what reaches it. old_secrets sign too, while
    signing_secret is being changed. The other keys mean what they mean in tapway.yaml.
  EOT
  type = map(object({
    url            = string
    headers        = optional(map(string), {})
    signing_secret = optional(string)
    old_secrets    = optional(list(string), [])
    format         = optional(string, "json")
    if             = optional(string)
    timeout        = optional(string, "10s")
    concurrency    = optional(number, 10)
    batch          = optional(object({ max_records = optional(number), max_bytes = optional(string), max_wait = optional(string) }))
    retry          = optional(object({ max_attempts = optional(number), min = optional(string), max = optional(string) }))
    tls = optional(object({
      insecure_skip_verify = optional(bool)
      ca                   = optional(string)
      server_name          = optional(string)
      cert                 = optional(string)
      key                  = optional(string)
    }))
  }))
  validation {
    condition     = length(var.destinations) > 0
    error_message = "destinations: at least one, such as {siem = {url = \"https://siem.example.com/in\"}}."
  }
  validation {
    condition     = alltrue([for name, _ in var.destinations : can(regex("^[a-z0-9][a-z0-9_-]{0,30}$", name))])
    error_message = "destinations: names are lower-case letters, digits, '-' and '_'."
  }
  validation {
    condition     = alltrue([for _, d in var.destinations : can(regex("^(https?://[^/?#@]+([/?#]|$)|\\$\\{aws-)", d.url))])
    error_message = "destinations: every url is a URL such as https://siem.example.com/in, without user name or password, or a reference such as $${aws-secretsmanager:NAME}."
  }
  validation {
    condition     = alltrue([for _, d in var.destinations : d.concurrency >= 2 && d.concurrency <= 1000])
    error_message = "destinations: concurrency is 2 to 1000, as Lambda wants it."
  }
}

variable "settings" {
  description = "More of tapway.yaml (proxy, capture, routes, egress, …), as an object. queue, bucket, backend and destinations are the module's."
  type        = any
  default     = {}
}

variable "secret_arns" {
  description = "Secrets Manager secrets and SSM parameters that the configuration refers to: the functions may read these and no others."
  type        = list(string)
  default     = []
}

variable "capture" {
  description = "after: the client has its response before the record is sent. before: the response waits for the record."
  type        = string
  default     = "after"
  validation {
    condition     = contains(["after", "before"], var.capture)
    error_message = "capture: after or before."
  }
}

variable "memory" {
  description = "Memory of each function, MiB. Processor time grows with it."
  type        = number
  default     = 512
  validation {
    condition     = var.memory >= 128 && var.memory <= 10240
    error_message = "memory: 128 to 10240 MiB."
  }
}

variable "proxy_timeout" {
  description = "Timeout of the proxy function, seconds; proxy.timeout (11 s) plus 2 at least. API Gateway waits 29 s by default."
  type        = number
  default     = 15
  validation {
    condition     = var.proxy_timeout >= 1 && var.proxy_timeout <= 900
    error_message = "proxy_timeout: 1 to 900 s."
  }
}

variable "forwarder_timeout" {
  description = "Timeout of the forwarder function, seconds; six times the longest timeout of a destination."
  type        = number
  default     = 60
  validation {
    condition     = var.forwarder_timeout >= 5 && var.forwarder_timeout <= 900
    error_message = "forwarder_timeout: 5 to 900 s."
  }
}

variable "proxy_concurrency" {
  description = "Reserved concurrency of the proxy: the most calls at once, and so a bound on cost. -1: none reserved."
  type        = number
  default     = -1
}

variable "shared_counters" {
  description = "Make a DynamoDB table in which rates and quotas of settings.access are counted for all functions together. A ceiling makes it too, unless settings.access.counters names a table of one's own (dynamodb://TABLE), which the proxy is then allowed to use."
  type        = bool
  default     = false
}

variable "daily_calls" {
  description = "Calls that are served in a day, from midnight UTC; further ones are answered 429, and there is an alarm. 0: no ceiling."
  type        = number
  default     = 0
  validation {
    condition     = var.daily_calls >= 0 && floor(var.daily_calls) == var.daily_calls
    error_message = "daily_calls: a whole number of calls, or 0 for no ceiling."
  }
}

variable "daily_cost" {
  description = "What calls may cost in a day, US dollars, by the requests of the front and the proxy function and its time; further ones are answered 429, and there is an alarm. 0: no ceiling."
  type        = number
  default     = 0
  validation {
    condition     = var.daily_cost == 0 || var.daily_cost >= 0.01
    error_message = "daily_cost: US dollars from 0.01 up, or 0 for no ceiling."
  }
}

variable "batch_size" {
  description = "Records given to one run of the forwarder, at most."
  type        = number
  default     = 10
  validation {
    condition     = var.batch_size >= 1 && var.batch_size <= 10
    error_message = "batch_size: 1 to 10."
  }
}

variable "max_receives" {
  description = "maxReceiveCount of the queues. It only catches what crashes a forwarder: tapway moves dead letters itself. Several times retry.max_attempts (8)."
  type        = number
  default     = 100
  validation {
    condition     = var.max_receives >= 10 && var.max_receives <= 1000
    error_message = "max_receives: 10 to 1000."
  }
}

variable "queue_retention_days" {
  description = "How long a record waits for its destination, days."
  type        = number
  default     = 4
  validation {
    condition     = var.queue_retention_days >= 1 && var.queue_retention_days <= 13
    error_message = "queue_retention_days: 1 to 13; dead letters are kept 14, which must be longer."
  }
}

variable "max_message_size" {
  description = "Largest message, bytes; larger records go through the bucket. SQS takes 1048576, the AWS provider before 6.8 no more than 262144."
  type        = number
  default     = 262144
}

variable "redrive_allow_policy" {
  description = "Whether only the queues of this installation may use the dead-letter queues. Leave it on; off is for emulators of AWS that lack it."
  type        = bool
  default     = true
}

variable "require_tls" {
  description = "Whether queues and bucket refuse requests that are not encrypted. Leave it on; off is for emulators of AWS on one's own machine."
  type        = bool
  default     = true
}

variable "function_url" {
  description = "A public address of its own for the proxy function. stream: responses are streamed (not in a VPC). auth: NONE or AWS_IAM. Never NONE without access rules in settings."
  type = object({
    auth   = optional(string, "AWS_IAM")
    stream = optional(bool, false)
  })
  default = null
  validation {
    condition     = var.function_url == null || contains(["NONE", "AWS_IAM"], try(var.function_url.auth, "AWS_IAM"))
    error_message = "function_url.auth: NONE or AWS_IAM."
  }
}

variable "apis" {
  description = "Ids of the REST and HTTP APIs that may invoke the proxy, by any name. `tapway attach` adds the permission itself; this is for APIs that Terraform owns."
  type        = map(string)
  default     = {}
}

variable "tapped_functions" {
  description = "ARNs of the Lambda functions behind attached APIs, with alias or version where the API names one: the proxy may invoke these and no others. The plan of `tapway attach` lists them, and `tapway deploy` fills them in."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for arn in var.tapped_functions : can(regex("^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]+(:([A-Za-z0-9_-]+|\\$LATEST))?$", arn))])
    error_message = "tapped_functions: whole ARNs without wildcards, such as arn:aws:lambda:eu-west-1:123456789012:function:users:live."
  }
}

variable "vpc" {
  description = "Subnets for the functions. The module makes a security group whose only way out is egress; security_group_ids are further ones, which may allow more. Private subnets need a NAT gateway or endpoints for SQS, S3 and CloudWatch Logs."
  type = object({
    id                 = string
    subnet_ids         = list(string)
    security_group_ids = optional(list(string), [])
    egress = optional(list(object({
      description = string
      cidr        = optional(string)
      prefix_list = optional(string)
      group       = optional(string)
      port        = optional(number, 443)
    })), [])
  })
  default = null
  validation {
    condition     = var.vpc == null || length(try(var.vpc.subnet_ids, [])) > 0
    error_message = "vpc.subnet_ids: at least one subnet."
  }
  validation {
    condition     = alltrue([for e in try(var.vpc.egress, []) : length(compact([e.cidr, e.prefix_list, e.group])) == 1])
    error_message = "vpc.egress: each rule has exactly one of cidr, prefix_list and group."
  }
}

variable "kms_key_arn" {
  description = "Key for the queues, the bucket, the logs and the alarms' topic. null: AWS's own keys. Its policy must admit the services; see the README."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long the functions' logs are kept, days."
  type        = number
  default     = 30
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days: one of CloudWatch's own numbers, such as 7, 30, 90 or 365."
  }
}

variable "log_level" {
  description = "debug, info, warn or error."
  type        = string
  default     = "info"
  validation {
    condition     = contains(["debug", "info", "warn", "error"], var.log_level)
    error_message = "log_level: debug, info, warn or error."
  }
}

variable "alarm_email" {
  description = "Who is told of alarms. AWS sends a mail to confirm; until then nothing arrives. null: only the topic is made."
  type        = string
  default     = null
  validation {
    condition     = var.alarm_email == null || can(regex("^[^@\\s]+@[^@\\s]+$", var.alarm_email))
    error_message = "alarm_email: an address such as ops@example.com."
  }
}

variable "oldest_age_alarm" {
  description = "Warn when a record has waited this long for its destination, seconds."
  type        = number
  default     = 300
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete the bucket with what is in it: large records that were not delivered yet, and those that SQS did not take."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags for everything."
  type        = map(string)
  default     = {}
}
