# -- what a new region must say ---------------------------------------------------------------------------------------

variable "region" {
  description = "Yurt's name of the region: Consul's datacenter, Nomad's region, NATS's cluster, the region file's name."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$", var.region))
    error_message = "region: use lower-case letters, digits and inner hyphens, at most 24; load balancers take no longer names."
  }
}

variable "aws_region" {
  description = "AWS's name of it."
  type        = string
}

variable "zones" {
  description = "Three of its availability zones."
  type        = list(string)
  validation {
    condition     = length(distinct(var.zones)) == 3
    error_message = "zones: name three different ones; JetStream, Consul and Nomad keep a majority through the loss of one."
  }
}

variable "cidr" {
  description = "The VPC's addresses: a /16 that no other region has."
  type        = string
  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "cidr: give a /16, such as 10.20.0.0/16."
  }
}

variable "domain" {
  description = "The network's domain; the endpoint is REGION.DOMAIN."
  type        = string
}

variable "zone_id" {
  description = "The domain's hosted zone: an output of terraform/global."
  type        = string
}

variable "ami_id" {
  description = "Debian 12 or later for aws_region."
  type        = string
}

variable "artifacts_bucket" {
  description = "Where programs come from, in aws_region."
  type        = string
}

variable "artifacts" {
  description = "The programs: consul, nomad, nats, yurt; and what runner_engines asks for."
  type        = map(object({ key = string, sha256 = string }))
  validation {
    condition     = length(setsubtract(["consul", "nomad", "nats", "yurt"], keys(var.artifacts))) == 0
    error_message = "artifacts: name key and sha256 of each of consul, nomad, nats and yurt."
  }
  validation {
    condition     = alltrue([for one in var.artifacts : can(regex("^[0-9a-f]{64}$", one.sha256))])
    error_message = "artifacts: a sha256 is 64 hexadecimal digits."
  }
}

variable "logs_bucket" {
  description = "Takes the load balancer's logs; its policy lets AWS's delivery service write."
  type        = string
}

variable "peers" {
  description = "The other regions. connection_id empty: this region asks; else it accepts that connection."
  type = map(object({
    aws_region    = string
    vpc_id        = string
    cidr          = string
    connection_id = optional(string, "")
  }))
  default = {}
}

variable "consul_wan_joins" {
  description = "Addresses of a Consul server of other regions, at least one each."
  type        = list(string)
  default     = []
}

variable "authoritative_region" {
  description = "The first region: its Nomad keeps policies and node pools for all."
  type        = string
}

# -- sizes: the design's; they are what it costs ------------------------------------------------------------------------

variable "environment" {
  description = "A tag on everything."
  type        = string
  default     = "production"
}

variable "servers" {
  description = "Machines with the servers of Consul and Nomad."
  type        = number
  default     = 3
  validation {
    condition     = contains([3, 5], var.servers)
    error_message = "servers: 3 or 5; an even number survives no more."
  }
}

variable "server_type" {
  description = "Their size."
  type        = string
  default     = "t3.medium"
}

variable "broker_type" {
  description = "A NATS server: network and disk more than cores."
  type        = string
  default     = "m6i.large"
}

variable "broker_data_gb" {
  description = "JetStream's disk: an hour of results at 500 a second is 1.4 GB; queues of large jobs are the rest."
  type        = number
  default     = 100
}

variable "broker_data_iops" {
  description = "gp3's 3,000 are free."
  type        = number
  default     = 6000
}

variable "broker_data_mbps" {
  description = "gp3's 125 are free."
  type        = number
  default     = 250
}

variable "broker_max_memory" {
  description = "For live output, which is kept in memory."
  type        = string
  default     = "2GB"
}

variable "gateway_type" {
  description = "A gateway machine."
  type        = string
  default     = "c6i.large"
}

variable "gateways" {
  description = "Least and most gateway machines."
  type        = object({ min = number, max = number })
  default     = { min = 3, max = 9 }
}

variable "gateway_port" {
  description = "Where a gateway listens on its machine."
  type        = number
  default     = 8443
}

variable "runner_types" {
  description = "Runner machines of 4 vCPU; the first for on demand, all for spot."
  type        = list(string)
  default     = ["m6i.xlarge", "m5.xlarge", "m6a.xlarge", "m5a.xlarge", "c6i.xlarge"]
}

variable "baseline" {
  description = "Least and most on-demand runner machines."
  type        = object({ min = number, max = number })
  default     = { min = 5, max = 20 }
}

variable "burst" {
  description = "Least and most spot runner machines."
  type        = object({ min = number, max = number })
  default     = { min = 0, max = 100 }
}

variable "toolchains" {
  description = "Debian packages of the languages, on every runner machine."
  type        = list(string)
  default     = ["python3", "libseccomp2", "nodejs", "default-jdk-headless", "golang", "g++", "rustc", "mold"]
}

variable "runner_engines" {
  description = "What runner machines can do beside forking. docker: Docker is installed. runsc: artifact runsc, gVisor, which Docker is told of. images: artifacts of images of languages, into /var/lib/yurt/images and Docker."
  type = object({
    docker = optional(bool, false)
    runsc  = optional(bool, false)
    images = optional(list(string), [])
  })
  default = {}
  validation {
    condition     = length(setsubtract(concat(var.runner_engines.images, var.runner_engines.runsc ? ["runsc"] : []), keys(var.artifacts))) == 0
    error_message = "runner_engines: each image, and runsc, must be among the artifacts, by its name."
  }
}

variable "protected" {
  description = "Whether AWS refuses to end brokers and the load balancer, and destroyed disks leave a snapshot."
  type        = bool
  default     = true
}
