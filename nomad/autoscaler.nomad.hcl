# The region's autoscaler: decides how many runners each fleet has; the baseline by count, the burst by dispatch.
#
#   nomad job run -hcl2-strict=false -var-file=us-east.vars.hcl autoscaler.nomad.hcl
#
# What it stands on
#   - Two of them, of which one decides: whoever holds the lock (in Consul, or else in NATS). The other takes over within
#     15 seconds, and takes up the history from NATS.
#   - While NATS, Nomad or the lock is away it changes nothing; so it is no more than a convenience that it runs, and has
#     a priority between the runners' and the gateways'.
#   - It speaks to Nomad's HTTP API with a token of its own that may do four things in one namespace: scale-job,
#     submit-job (to raise a count while a deployment is active), dispatch-job and read-job.
#
# Secrets, readable by this Nomad job alone:
#   nomad var put nomad/jobs/autoscaler nats_seed=@keys/REGION/autoscaler.nk nats_ca=@keys/authority/ca.pem …
#   nats_seed, nats_ca       the role's NKey seed and the authority of NATS, from `yurt bootstrap --keys keys`
#   nomad_token, nomad_ca    its token, and the authority of Nomad's API
#   consul_token             session:write and key:write on yurt/; only where there is Consul

variable "region" {
  type        = string
  description = "The region: its name in the region file, on subjects and in answers."
  validation {
    condition     = regex_replace(var.region, "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", "") == ""
    error_message = "Use lower-case letters, digits and inner hyphens, at most 40: us-east."
  }
}

variable "region_file" {
  type        = string
  description = "The region file's text (TOML): queues, fleets, gateways, neighbours. A change is rolled like any other."
}

variable "datacenters" {
  type        = list(string)
  default     = ["*"]
  description = "Nomad datacenters of the region that may be used."
}

variable "namespace" {
  type        = string
  default     = "default"
  description = "The Nomad namespace. One of its own keeps everybody else's tokens away from root tasks."
}

variable "provider" {
  type        = string
  default     = "consul"
  description = "Who keeps the services: consul, or nomad where there is no Consul (a development agent)."
  validation {
    condition     = contains(["consul", "nomad"], var.provider)
    error_message = "It is consul or nomad."
  }
}

variable "driver" {
  type        = string
  default     = "docker"
  description = "docker runs an image; raw_exec runs a program of the node (a development agent)."
  validation {
    condition     = contains(["docker", "raw_exec"], var.driver)
    error_message = "It is docker or raw_exec."
  }
}

variable "secured" {
  type        = bool
  default     = true
  description = "TLS, NKeys and permissions, from Nomad variables. Without: open, for loopback only."
}

variable "release" {
  type        = string
  default     = "0.1.0"
  description = "What is rolled out: the image's tag, or the folder of /opt/yurt on the node."
}

variable "registry" {
  type        = string
  default     = "yurt"
  description = "Where images are pulled from: REGISTRY/gateway:RELEASE."
}

variable "yurt_command" {
  type        = string
  default     = ""
  description = "For driver raw_exec: the yurt program on the node. Empty: /opt/yurt/RELEASE/bin/yurt."
}

variable "nats_urls" {
  type        = list(string)
  description = "The region's NATS servers: nats://nats-1.us-east…:4222. One that answers tells of the others."
  validation {
    condition     = length(var.nats_urls) > 0
    error_message = "Give at least one address."
  }
}

variable "consul_address" {
  type        = string
  default     = ""
  description = "The Consul agent of the node; empty: none, and the region file's neighbours are all there is."
}

variable "zone" {
  type        = string
  default     = "$${meta.zone}"
  description = "The node attribute that tells availability zones apart."
}

variable "settle" {
  type        = string
  default     = "15s"
  description = "How long a new allocation must be healthy before the next one is replaced."
}

variable "nomad_address" {
  type        = string
  default     = "https://127.0.0.1:4646"
  description = "Nomad's API: the agent of the node, which passes on to its region's servers."
  validation {
    condition     = regex_replace(var.nomad_address, "^https?://[^/]+$", "") == ""
    error_message = "Write https://HOST:PORT."
  }
}

variable "scaling_file" {
  type        = string
  default     = ""
  description = "The scaling file's text (TOML): rules, schedule, events, bounds. Empty: the design's."
}

variable "scaling_interval_s" {
  type        = number
  default     = 2
  description = "Seconds between decisions; they come on top of the rules' own waits."
  validation {
    condition     = var.scaling_interval_s > 0
    error_message = "Above 0."
  }
}

variable "autoscaler_pool" {
  type        = string
  default     = "gateway"
  description = "The node pool; it is small, and goes where the gateways are."
}

variable "autoscaler_count" {
  type        = number
  default     = 2
  description = "One decides, the others stand by."
  validation {
    condition     = var.autoscaler_count >= 1
    error_message = "At least one."
  }
}

variable "autoscaler_cpu" {
  type        = number
  default     = 200
  description = "MHz."
}

variable "autoscaler_memory" {
  type        = number
  default     = 256
  description = "MB."
}

job "autoscaler" {
  namespace   = var.namespace
  datacenters = var.datacenters
  node_pool   = var.autoscaler_pool
  type        = "service"
  priority    = 70

  # The host's network is used below; before 2.0.4 that could be abused (CVE-2026-14891).
  constraint {
    attribute = "${attr.nomad.version}"
    operator  = "semver"
    value     = ">= 2.0.4-0"
  }

  # The one that stands by is of use elsewhere only.
  constraint {
    operator = "distinct_hosts"
    value    = "true"
  }

  spread {
    attribute = var.zone
    weight    = 100
  }

  # No canary: two versions that compare notes are no test, for only one of them decides.
  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = var.settle
    healthy_deadline  = "2m"
    progress_deadline = "5m"
    auto_revert       = true
  }

  meta {
    release = var.release
  }

  group "autoscaler" {
    count = var.autoscaler_count

    # Nobody is sent here; the catalog is told first all the same.
    shutdown_delay = "1s"

    network {
      port "admin" {}
    }

    restart {
      attempts = 3
      interval = "2m"
      delay    = "5s"
      mode     = "fail"
    }

    reschedule {
      delay          = "10s"
      delay_function = "exponential"
      max_delay      = "5m"
      unlimited      = true
    }

    # The lock keeps one that is cut off from deciding; replaced at once it costs nothing.
    disconnect {
      lost_after = "30s"
      replace    = true
      reconcile  = "keep_replacement"
    }

    service {
      name     = "yurt-autoscaler"
      provider = var.provider
      port     = "admin"
      address  = "127.0.0.1" # where admin ports are listened on: only the node reaches them
      tags     = ["region-${var.region}"]

      meta {
        region     = var.region
        version    = var.release
        admin_port = "${NOMAD_PORT_admin}"
      }

      check {
        name     = "alive"
        type     = "http"
        path     = "/healthz"
        interval = "5s"
        timeout  = "2s"

        check_restart {
          limit = 3
          grace = "30s"
        }
      }
    }

    task "autoscaler" {
      driver = var.driver

      # SIGTERM: the round in hand is finished, and the lock left to the next one.
      kill_signal  = "SIGTERM"
      kill_timeout = "20s"

      # Host networking: Nomad's and Consul's agents of the node are on its loopback.
      dynamic "config" {
        for_each = var.driver == "docker" ? ["${var.registry}/autoscaler:${var.release}"] : []
        content {
          image           = config.value
          args            = ["autoscaler"]
          network_mode    = "host"
          readonly_rootfs = true
          cap_drop        = ["all"]
          security_opt    = ["no-new-privileges"]
        }
      }

      dynamic "config" {
        for_each = var.driver == "raw_exec" ? [var.yurt_command == "" ? "/opt/yurt/${var.release}/bin/yurt" : var.yurt_command] : []
        content {
          command = config.value
          args    = ["autoscaler"]
        }
      }

      env {
        YURT_REGION             = var.region
        YURT_REGION_FILE        = "${NOMAD_TASK_DIR}/region.toml"
        YURT_SCALING_FILE       = "${NOMAD_TASK_DIR}/scaling.toml"
        YURT_NAME               = "autoscaler-${NOMAD_SHORT_ALLOC_ID}"
        YURT_NATS_URLS          = join(",", var.nats_urls)
        YURT_NATS_SEED_FILE     = var.secured ? "${NOMAD_SECRETS_DIR}/nats_seed" : ""
        YURT_NATS_CA_FILE       = var.secured ? "${NOMAD_SECRETS_DIR}/nats_ca" : ""
        YURT_NOMAD_ADDRESS      = var.nomad_address
        YURT_NOMAD_CA_FILE      = var.secured ? "${NOMAD_SECRETS_DIR}/nomad_ca" : ""
        YURT_NOMAD_NAMESPACE    = var.namespace
        YURT_CONSUL_ADDRESS     = var.consul_address
        YURT_CONSUL_REGISTER    = "false" # the service block above does
        YURT_INTERVAL_S         = "${var.scaling_interval_s}"
        YURT_ADMIN_PORT         = "${NOMAD_PORT_admin}"
        PYTHONDONTWRITEBYTECODE = "1" # the image cannot be written to
      }

      # New files are a new version of this job, rolled with its checks.
      template {
        destination = "local/region.toml"
        change_mode = "noop"
        data        = var.region_file
      }

      template {
        destination = "local/scaling.toml"
        change_mode = "noop"
        data        = var.scaling_file == "" ? "# the design's rules\n" : var.scaling_file
      }

      dynamic "template" {
        for_each = var.secured ? ["nats_seed", "nats_ca", "nomad_ca"] : []
        content {
          destination = "secrets/${template.value}"
          perms       = "0600"
          change_mode = "restart"
          splay       = "30s"
          data        = "{{ with nomadVar \"nomad/jobs/autoscaler\" }}{{ .${template.value} }}{{ end }}\n"
        }
      }

      # As variables of the process, never as its arguments, which every process of the node may read.
      dynamic "template" {
        for_each = var.secured ? [var.consul_address == "" ? ["nomad_token"] : ["nomad_token", "consul_token"]] : []
        content {
          destination = "secrets/tokens.env"
          env         = true
          perms       = "0600"
          change_mode = "restart"
          splay       = "30s"
          data = join("", [for name in template.value :
            "YURT_${upper(name)}={{ with nomadVar \"nomad/jobs/autoscaler\" }}{{ .${name} }}{{ end }}\n"
          ])
        }
      }

      resources {
        cpu    = var.autoscaler_cpu
        memory = var.autoscaler_memory
      }
    }
  }
}
