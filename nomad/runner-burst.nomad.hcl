# The burst runners of one fleet: dispatched by the autoscaler, one allocation a dispatch, on spot nodes.
#
#   nomad job run -hcl2-strict=false -var-file=us-east.vars.hcl runner-burst.nomad.hcl      registers it; runs nothing
#   nomad job dispatch runner-burst                                                         one runner
#
# What it stands on
#   - A dispatch needs no deployment: none blocks it, and it bumps no version. It answers in milliseconds.
#   - A burst runner ends by itself, with code 0: when nothing came for burst_idle_s, or after burst_life_s, once what
#     runs has ended. So nobody has to choose which one to stop, and a forgotten one stops too.
#   - One that dies is not brought back: the autoscaler counts the living and dispatches again if there is still need.
#   - A release reaches it with the next dispatch: children keep the version they were dispatched with.
#   - raw_exec as root for the reasons told in runner.nomad.hcl; the pool of spot nodes holds nothing but burst runners.
#     Its clients: plugin "raw_exec" { config { enabled = true } }, max_kill_timeout = "120s", drain_on_shutdown.
#   - Two minutes before a spot node is taken its runners hear of it from the node's metadata and leave: what can end
#     ends, the rest goes back to the queue. One that is dispatched there meanwhile ends at once, having taken nothing.
#
# Secrets, readable by this Nomad job and its children (of another fleet: nomad/jobs/runner-burst-FLEET):
#   nomad var put nomad/jobs/runner-burst nats_seed=@keys/REGION/runner.nk nats_ca=@keys/authority/ca.pem
#   nats_seed, nats_ca   the role's NKey seed and the authority of NATS, from `yurt bootstrap --keys keys`

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

variable "release" {
  type        = string
  default     = "0.1.0"
  description = "What is rolled out: the image's tag, or the folder of /opt/yurt on the node."
}

variable "yurt_command" {
  type        = string
  default     = ""
  description = "For driver raw_exec: the yurt program on the node. Empty: /opt/yurt/RELEASE/bin/yurt."
}

variable "secured" {
  type        = bool
  default     = true
  description = "TLS, NKeys and permissions, from Nomad variables. Without: open, for loopback only."
}

variable "nats_urls" {
  type        = list(string)
  description = "The region's NATS servers: nats://nats-1.us-east…:4222. One that answers tells of the others."
  validation {
    condition     = length(var.nats_urls) > 0
    error_message = "Give at least one address."
  }
}

variable "zone" {
  type        = string
  default     = "$${meta.zone}"
  description = "The node attribute that tells availability zones apart."
}

variable "fleet" {
  type        = string
  default     = "all"
  description = "The fleet of the region file that these runners serve; this file is registered once a fleet."
}

variable "life_cycle" {
  type        = string
  default     = "$${attr.platform.aws.instance-life-cycle}"
  description = "The node attribute that tells on-demand and spot nodes apart."
}

variable "runner_drain_s" {
  type        = number
  default     = 75
  description = "Seconds for what runs to end: a build and a run may take 30 each. The kill timeout is 15 more."
}

variable "runner_slots" {
  type        = number
  default     = 64
  description = "The most jobs at once in one runner; how many compute at once it decides by the load."
  validation {
    condition     = var.runner_slots >= 1 && var.runner_slots <= 1024
    error_message = "From 1 to 1024."
  }
}

variable "runner_warm" {
  type        = number
  default     = 8
  description = "The least warm sandboxes of the newest Python; other runtimes have a share of it."
}

variable "runner_cache" {
  type        = string
  default     = "/var/cache/toolchains"
  description = "Where prepared toolchains lie on the node; in its image they save the first start a minute or two."
}

variable "runner_engine" {
  type        = string
  default     = ""
  description = "What sandboxes are: docker, or java=snapshot,go=docker. Empty: as the region file says of the fleet, else forks."
}

variable "runner_docker_runtimes" {
  type        = map(string)
  default     = {}
  description = "By fleet, what Docker runs its containers with: runc, runsc or kata-fc; runc where none is given."
}

variable "runner_cpu" {
  type        = number
  default     = 4000
  description = "MHz: for most nodes, two cores."
}

variable "runner_memory" {
  type        = number
  default     = 6144
  description = "MB: 512 for the runner and its zygotes, and what its programs use at once."
}

variable "burst_pool" {
  type        = string
  default     = "burst"
  description = "The node pool of the burst: spot nodes that hold nothing but burst runners."
}

variable "burst_life_cycle" {
  type        = string
  default     = "spot"
  description = "What life_cycle must be on the burst's nodes; empty: any."
}

variable "burst_idle_s" {
  type        = number
  default     = 120
  description = "A burst runner that has had no job for so many seconds ends."
  validation {
    condition     = var.burst_idle_s > 0
    error_message = "Above 0: the burst would else never end."
  }
}

variable "burst_life_s" {
  type        = number
  default     = 3600
  description = "After so many seconds a burst runner takes no more and ends; what is needed longer becomes baseline."
  validation {
    condition     = var.burst_life_s > 75
    error_message = "Above 75: so long may what runs take to end."
  }
}

variable "burst_notice_url" {
  type        = string
  default     = "http://169.254.169.254"
  description = "The node's metadata endpoint (AWS, IMDSv2), which tells that it will be taken. Empty: nobody asks."
}

locals {
  job     = var.fleet == "all" ? "runner-burst" : "runner-burst-${var.fleet}"
  command = var.yurt_command == "" ? "/opt/yurt/${var.release}/bin/yurt" : var.yurt_command
}

job "runner-burst" {
  id          = local.job
  name        = local.job
  namespace   = var.namespace
  datacenters = var.datacenters
  node_pool   = var.burst_pool
  type        = "batch"
  priority    = 30 # the first to make room for anybody else

  # Dispatched with nothing but the wish for one more.
  parameterized {
    payload       = "forbidden"
    meta_optional = ["reason"]
  }

  dynamic "constraint" {
    for_each = var.burst_life_cycle == "" ? [] : [var.burst_life_cycle]
    content {
      attribute = var.life_cycle
      value     = constraint.value
    }
  }

  # Spot capacity is taken away by zone and by machine type: do not stand in one.
  spread {
    attribute = var.zone
    weight    = 100
  }

  meta {
    release = var.release
    fleet   = var.fleet
    reason  = ""
  }

  group "runner" {
    count = 1

    # Nobody is sent to a runner; the catalog is told first all the same.
    shutdown_delay = "1s"

    network {
      port "admin" {}
    }

    # A fault at the start is tried once more here; beyond that the autoscaler sees one less and decides anew.
    restart {
      attempts = 1
      interval = "5m"
      delay    = "2s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    # A spot node that vanished does not come back, and its place is the autoscaler's to fill.
    disconnect {
      lost_after = "1m"
      replace    = false
      reconcile  = "keep_original"
    }

    # Found by nobody, watched by all: the service is there for its check, and for whoever reads /metrics on the node.
    service {
      name     = "yurt-runner"
      provider = var.provider
      port     = "admin"
      address  = "127.0.0.1" # where admin ports are listened on: only the node reaches them
      tags     = ["region-${var.region}", "fleet-${var.fleet}"]

      meta {
        region     = var.region
        version    = var.release
        fleet      = var.fleet
        admin_port = "${NOMAD_PORT_admin}"
      }

      # Not healthy while it prepares and proves its languages, while it drains, or without NATS.
      check {
        name     = "ready"
        type     = "http"
        path     = "/healthz"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "runner" {
      driver = "raw_exec"
      user   = "root"

      # As for the baseline, and within the two minutes that a spot node is given.
      kill_signal  = "SIGTERM"
      kill_timeout = "${var.runner_drain_s + 15}s"

      config {
        command = local.command
        args    = ["runner"]
      }

      env {
        YURT_REGION          = var.region
        YURT_REGION_FILE     = "${NOMAD_TASK_DIR}/region.toml"
        YURT_FLEET           = var.fleet
        YURT_NAME            = "runner-${NOMAD_SHORT_ALLOC_ID}"
        YURT_NATS_URLS       = join(",", var.nats_urls)
        YURT_NATS_SEED_FILE  = var.secured ? "${NOMAD_SECRETS_DIR}/nats_seed" : ""
        YURT_NATS_CA_FILE    = var.secured ? "${NOMAD_SECRETS_DIR}/nats_ca" : ""
        YURT_CONSUL_REGISTER = "false" # the service block above does
        YURT_ENGINE          = var.runner_engine
        YURT_DOCKER_RUNTIME  = lookup(var.runner_docker_runtimes, var.fleet, "runc")
        YURT_SLOTS           = "${var.runner_slots}"
        YURT_WARM            = "${var.runner_warm}"
        YURT_CACHE           = var.runner_cache
        YURT_DRAIN_S         = "${var.runner_drain_s}"
        YURT_ADMIN_PORT      = "${NOMAD_PORT_admin}"
        YURT_BURST           = "true"
        YURT_IDLE_EXIT_S     = "${var.burst_idle_s}"
        YURT_LIFE_S          = "${var.burst_life_s}"
        YURT_NOTICE_URL      = var.burst_notice_url
      }

      # A new region file is a new version of this job, rolled with its checks, not a restart of all at once.
      template {
        destination = "local/region.toml"
        change_mode = "noop"
        data        = var.region_file
      }

      dynamic "template" {
        for_each = var.secured ? ["nats_seed", "nats_ca"] : []
        content {
          destination = "secrets/${template.value}"
          perms       = "0600"
          change_mode = "restart"
          splay       = "60s"
          data        = "{{ with nomadVar \"nomad/jobs/${local.job}\" }}{{ .${template.value} }}{{ end }}\n"
        }
      }

      # For the scheduler alone: raw_exec bounds nothing. What a program may use is bounded by its sandbox's own groups.
      resources {
        cpu    = var.runner_cpu
        memory = var.runner_memory
      }
    }
  }
}
