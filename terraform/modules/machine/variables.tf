variable "name" {
  description = "Of the group or instance: servers, broker-1, baseline …"
  type        = string
}

variable "role" {
  description = "What it does."
  type        = string
  validation {
    condition     = contains(["server", "broker", "gateway", "runner"], var.role)
    error_message = "A machine is a server, a broker, a gateway or a runner."
  }
}

variable "pool" {
  description = "The Nomad node pool, for gateways and runners."
  type        = string
  default     = ""
}

variable "region" {
  description = "Yurt's name of the region: Consul's datacenter, Nomad's region."
  type        = string
}

variable "aws_region" {
  description = "AWS's name of it."
  type        = string
}

variable "authoritative_region" {
  description = "The Nomad region that keeps policies and node pools."
  type        = string
}

variable "servers" {
  description = "How many servers of Consul and Nomad there are."
  type        = number
}

variable "wan_joins" {
  description = "Where Consul's servers find those of other regions."
  type        = list(string)
  default     = []
}

variable "ami_id" {
  description = "Debian 12 or later, x86-64 or arm64 as the artifacts are."
  type        = string
}

variable "instance_type" {
  description = "The size; a pool overrides it with several."
  type        = string
}

variable "disk_gb" {
  description = "The root disk."
  type        = number
}

variable "group_ids" {
  description = "Security groups."
  type        = list(string)
}

variable "instance_profile_arn" {
  description = "Its rights."
  type        = string
}

variable "kms_key_arn" {
  description = "Encrypts its disk."
  type        = string
}

variable "artifacts_bucket" {
  description = "Where its programs come from."
  type        = string
}

variable "artifacts" {
  description = "Its programs by name (consul, nomad, nats, yurt, runsc, images): key in the bucket, and what it must hash to."
  type        = map(object({ key = string, sha256 = string }))
}

variable "packages" {
  description = "Debian packages beside those that every machine has."
  type        = list(string)
  default     = []
}

variable "images" {
  description = "Those of the artifacts that are images of languages."
  type        = list(string)
  default     = []
}

variable "nats_config" {
  description = "A broker's configuration."
  type        = string
  default     = ""
}

variable "data_device" {
  description = "A broker's data volume, as it was attached."
  type        = string
  default     = ""
}

variable "data_volume" {
  description = "Its id without the hyphen, as Nitro machines name it."
  type        = string
  default     = ""
}

variable "tags" {
  description = "On the machine and its disk."
  type        = map(string)
  default     = {}
}
