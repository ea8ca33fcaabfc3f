variable "name" {
  description = "Name of the example API."
  type        = string
  default     = "tapway-example"
}

variable "backend" {
  description = "A public JSON API with /users and /users/{id}; nothing secret belongs into the example."
  type        = string
  default     = "https://jsonplaceholder.typicode.com"
  validation {
    condition     = can(regex("^https?://[^/?#@]+$", var.backend))
    error_message = "backend: a URL without a path, such as https://jsonplaceholder.typicode.com."
  }
}

variable "stage" {
  description = "Name of the API stage."
  type        = string
  default     = "dev"
}

variable "rate" {
  description = "Calls a second that the stage lets through: an open API is an open purse."
  type        = number
  default     = 10
}

variable "burst" {
  description = "Calls at one moment that the stage lets through."
  type        = number
  default     = 20
}

variable "tags" {
  description = "Tags for everything."
  type        = map(string)
  default     = {}
}
