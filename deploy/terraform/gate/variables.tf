variable "rest_api_id" {
  description = "The REST API to guard. HTTP APIs have none of this but throttling: guard those with the access rules of tapway itself."
  type        = string
}

variable "stage" {
  description = "Name of its API stage."
  type        = string
}

variable "name" {
  description = "Beginning of the names of what is made."
  type        = string
  default     = "tapway"
}

variable "throttle" {
  description = "Calls a second and at one moment for every method of the stage, and for single ones (\"users/GET\", as API Gateway writes them)."
  type = object({
    rate    = number
    burst   = number
    methods = optional(map(object({ rate = number, burst = number })), {})
  })
  default = null
}

variable "cache" {
  description = "API Gateway's own cache on the stage, for GET. Calls that it answers do not reach tapway and leave no record. size in GB, ttl in seconds."
  type = object({
    size    = optional(string, "0.5")
    ttl     = optional(number, 300)
    methods = optional(list(string), ["*/*"])
  })
  default = null
  validation {
    condition     = var.cache == null || contains(["0.5", "1.6", "6.1", "13.5", "28.4", "58.2", "118", "237"], try(var.cache.size, "0.5"))
    error_message = "cache.size: 0.5, 1.6, 6.1, 13.5, 28.4, 58.2, 118 or 237 GB. The stage itself has to enable it; see the README."
  }
}

variable "usage_plans" {
  description = "Usage plans by name: rate and burst of each key, a quota, and the names of the keys. Methods must ask for a key (api_key_required)."
  type = map(object({
    rate  = optional(number)
    burst = optional(number)
    quota = optional(object({ limit = number, period = string, offset = optional(number, 0) }))
    keys  = optional(list(string), [])
  }))
  default = {}
  validation {
    condition     = alltrue([for _, p in var.usage_plans : p.quota == null || contains(["DAY", "WEEK", "MONTH"], try(p.quota.period, "DAY"))])
    error_message = "usage_plans: quota.period is DAY, WEEK or MONTH."
  }
}

variable "resource_policy" {
  description = "Resource policy as JSON. It takes effect with the next deployment of the API."
  type        = string
  default     = null
  validation {
    condition     = var.resource_policy == null || can(jsondecode(var.resource_policy))
    error_message = "resource_policy: not JSON."
  }
  validation {
    condition     = try(length(var.resource_policy), 0) <= 8192
    error_message = "resource_policy: API Gateway takes 8192 bytes."
  }
}

variable "ip_policy" {
  description = "Instead of resource_policy: who may call (allow; empty is everybody) and who may not (deny), as CIDRs."
  type = object({
    allow = optional(list(string), [])
    deny  = optional(list(string), [])
  })
  default = null
  validation {
    condition     = alltrue([for c in concat(try(var.ip_policy.allow, []), try(var.ip_policy.deny, [])) : can(cidrhost(c, 0))])
    error_message = "ip_policy: CIDRs such as 203.0.113.0/24."
  }
}

variable "web_acl_arn" {
  description = "Web ACL of AWS WAF to put before the stage."
  type        = string
  default     = null
}

variable "access_logs" {
  description = "Access logs of the stage as JSON, kept so many days. They need the account's CloudWatch role, which account_role makes."
  type = object({
    retention_days = optional(number, 30)
    kms_key_arn    = optional(string)
  })
  default = null
}

variable "account_role" {
  description = "Make the role that API Gateway writes logs with, and set it for the whole account and region. Only where nobody else does."
  type        = bool
  default     = false
}

variable "domain" {
  description = "A name of one's own: certificate_arn from ACM in this region, and with truststore_uri (s3://…) only clients with a certificate from it (mutual TLS)."
  type = object({
    name            = string
    certificate_arn = string
    base_path       = optional(string)
    security_policy = optional(string, "TLS_1_2")
    truststore_uri  = optional(string)
    zone_id         = optional(string)
  })
  default = null
}

variable "private" {
  description = "An interface endpoint for execute-api in a VPC, through which alone a PRIVATE API is reached."
  type = object({
    vpc_id              = string
    subnet_ids          = list(string)
    client_cidrs        = list(string)
    private_dns_enabled = optional(bool, true)
  })
  default = null
}

variable "tags" {
  description = "Tags for everything."
  type        = map(string)
  default     = {}
}
