variable "domain" {
  description = "The network's domain, which leads to the nearest region; each has its own as REGION.DOMAIN."
  type        = string
}

variable "routing" {
  description = "How the nearest region is found: latency (measured by AWS) or geoproximity (by distance, with a bias)."
  type        = string
  default     = "latency"
  validation {
    condition     = contains(["latency", "geoproximity"], var.routing)
    error_message = "routing: latency or geoproximity."
  }
}

variable "bias" {
  description = "For geoproximity: widens (up to 99) or narrows (down to -99) what a region is nearest to."
  type        = map(number)
  default     = {}
  validation {
    condition     = alltrue([for bias in values(var.bias) : bias >= -99 && bias <= 99])
    error_message = "bias: between -99 and 99."
  }
}

variable "accelerator" {
  description = "Whether fast.DOMAIN goes by Global Accelerator: fails over in seconds whatever resolvers cache; costs extra."
  type        = bool
  default     = false
}

variable "accelerator_logs_bucket" {
  description = "Takes its flow logs."
  type        = string
  default     = ""
}

variable "query_log_key_arn" {
  description = "A key in us-east-1 for a log of DNS queries; empty: no such log."
  type        = string
  default     = ""
}

variable "regions" {
  description = "The regions, in place of the files in regions/: for tests."
  type = map(object({
    region     = string
    aws_region = string
    endpoint   = string
    dns_name   = string
    zone_id    = string
    lb_arn     = string
  }))
  default = null
}
