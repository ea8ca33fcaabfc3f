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

variable "throttle" {
  description = "Calls a second and at one moment that the stage lets through: an open API is an open purse. null leaves it to the gate module."
  type        = object({ rate = number, burst = number })
  default     = { rate = 10, burst = 20 }
}

variable "binary_media_types" {
  description = "Media types that are passed on byte by byte. With any other setting API Gateway takes bodies for text."
  type        = list(string)
  default     = ["*/*"]
}

variable "tags" {
  description = "Tags for everything."
  type        = map(string)
  default     = {}
}
