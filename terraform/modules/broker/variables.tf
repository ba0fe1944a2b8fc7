variable "machine" {
  description = "What every machine of the region has in common."
  type = object({
    region               = string
    aws_region           = string
    authoritative_region = string
    servers              = number
    ami_id               = string
    kms_key_arn          = string
    artifacts_bucket     = string
    artifacts            = map(object({ key = string, sha256 = string }))
  })
}

variable "zones" {
  description = "Availability zones, a server each."
  type        = list(string)
  validation {
    condition     = contains([3, 5], length(var.zones))
    error_message = "JetStream's R3 needs three zones (or five)."
  }
}

variable "subnet_ids" {
  description = "Subnets that hold nothing else, in the order of the zones."
  type        = list(string)
}

variable "subnet_cidrs" {
  description = "Their addresses; a server has the tenth of its own."
  type        = list(string)
}

variable "gateways" {
  description = "Addresses of the servers of the other regions, by region."
  type        = map(list(string))
}

variable "group_ids" {
  description = "Security groups."
  type        = list(string)
}

variable "instance_profile_arn" {
  description = "Rights of a broker."
  type        = string
}

variable "instance_profile_name" {
  description = "The same, by name."
  type        = string
}

variable "instance_type" {
  description = "Size of a server."
  type        = string
}

variable "data_gb" {
  description = "JetStream's disk."
  type        = number
}

variable "data_iops" {
  description = "R3 with fsync waits for the disk."
  type        = number
}

variable "data_mbps" {
  description = "Its throughput."
  type        = number
}

variable "max_memory" {
  description = "JetStream's memory store: live output."
  type        = string
}

variable "protected" {
  description = "Whether AWS refuses to end a server."
  type        = bool
}

variable "final_snapshot" {
  description = "Whether a destroyed disk leaves a snapshot."
  type        = bool
}
