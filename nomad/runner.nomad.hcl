# The baseline runners of one fleet: they take jobs from NATS and run them in sandboxes. On-demand nodes, a count.
#
#   nomad job run -hcl2-strict=false -preserve-counts -var-file=us-east.vars.hcl runner.nomad.hcl
#   nomad job run -hcl2-strict=false -preserve-counts -var-file=us-east.vars.hcl -var fleet=python runner.nomad.hcl
#
# -preserve-counts: the count is the autoscaler's; without it a deploy would set it back to the one below.
#
# What it stands on
#   - Jobs come by NATS, so a runner needs no address and may stop at any time: it takes no more, ends what runs, and
#     what it cannot end goes back to the queue. kill_timeout is the time for that.
#   - raw_exec, as root, and why. A runner makes user, pid, mount, ipc, uts and net namespaces, pivots roots, gives
#     sandboxes uids and control groups of their own: the untrusted program then has none of that, no capability, and a
#     system call filter. Who makes all this cannot itself be inside it. What was weighed:
#       docker     would need SYS_ADMIN, NET_ADMIN, SETUID, SETGID, KILL, CHOWN, DAC_OVERRIDE, SYS_CHROOT, no seccomp
#                  and no AppArmor profile, and the host's control groups writable. With SYS_ADMIN and writable control
#                  groups it is root of the node under another name, and slower to start; privileged = true the more.
#       exec2      forbids by Landlock and its own namespaces what the runner must do (mounts, nested namespaces).
#       exec       takes the mounts and the capabilities away as well.
#     So the boundary is the node: a node pool of its own that holds nothing but runners, no secrets but the runner's
#     NKey, no instance role, and a Nomad namespace whose submit-job is given to the deployer alone.
#   - Clients of this pool: plugin "raw_exec" { config { enabled = true } }, max_kill_timeout = "120s",
#     and no task of others.
#
# Secrets, readable by this Nomad job alone (of another fleet: nomad/jobs/runner-FLEET):
#   nomad var put nomad/jobs/runner nats_seed=@keys/REGION/runner.nk nats_ca=@keys/authority/ca.pem
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

variable "settle" {
  type        = string
  default     = "15s"
  description = "How long a new allocation must be healthy before the next one is replaced."
}

variable "runner_pool" {
  type        = string
  default     = "baseline"
  description = "The node pool of the baseline: nodes that hold nothing but runners."
}

variable "runner_life_cycle" {
  type        = string
  default     = "on-demand"
  description = "What life_cycle must be on the baseline's nodes; empty: any."
}

variable "runner_counts" {
  type        = map(number)
  default     = {}
  description = "By fleet, the runners at the first registration; 10 where none is given. The autoscaler decides from there."
}

variable "runner_progress" {
  type        = string
  default     = "15m"
  description = "How long Nomad tries a failed canary anew, on other nodes too, before it takes the version back; more than the kill timeout."
}

variable "runner_deadline" {
  type        = string
  default     = "10m"
  description = "How long a runner may take to be ready. A node without prepared toolchains takes minutes once."
}

locals {
  job     = var.fleet == "all" ? "runner" : "runner-${var.fleet}"
  command = var.yurt_command == "" ? "/opt/yurt/${var.release}/bin/yurt" : var.yurt_command
}

job "runner" {
  id          = local.job
  name        = local.job
  namespace   = var.namespace
  datacenters = var.datacenters
  node_pool   = var.runner_pool
  type        = "service"
  priority    = 60 # below NATS and the gateways, above the burst

  # The baseline stays when spot nodes are taken away.
  dynamic "constraint" {
    for_each = var.runner_life_cycle == "" ? [] : [var.runner_life_cycle]
    content {
      attribute = var.life_cycle
      value     = constraint.value
    }
  }

  spread {
    attribute = var.zone
    weight    = 100
  }

  # A runner makes the most of a whole node: fill every node before one has two.
  spread {
    attribute = "${node.unique.id}"
    weight    = 50
  }

  # The canary shows that a release can prove its languages before any runner is replaced. Scaling up goes on meanwhile
  # (the autoscaler registers the new count, which supersedes the deployment); scaling down waits for its end.
  update {
    canary            = 1
    auto_promote      = true
    max_parallel      = 2
    health_check      = "checks"
    min_healthy_time  = var.settle
    healthy_deadline  = var.runner_deadline
    progress_deadline = var.runner_progress
    auto_revert       = true
  }

  meta {
    release = var.release
    fleet   = var.fleet
  }

  group "runner" {
    count = lookup(var.runner_counts, var.fleet, 10)

    # Nobody is sent to a runner; the catalog is told first all the same.
    shutdown_delay = "1s"

    network {
      port "admin" {}
    }

    restart {
      attempts = 3
      interval = "5m"
      delay    = "2s"
      mode     = "fail"
    }

    reschedule {
      delay          = "5s"
      delay_function = "exponential"
      max_delay      = "1m"
      unlimited      = true
    }

    # Cut off from the Nomad servers it may still have NATS, and works on; another takes its place meanwhile.
    disconnect {
      lost_after = "1m"
      replace    = true
      reconcile  = "best_score"
    }

    # A drained node gives its runners up two at a time, each only when its successor takes jobs.
    migrate {
      max_parallel     = 2
      health_check     = "checks"
      min_healthy_time = var.settle
      healthy_deadline = var.runner_deadline
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

        check_restart {
          limit = 6
          grace = var.runner_deadline
        }
      }
    }

    task "runner" {
      driver = "raw_exec"
      user   = "root"

      # SIGTERM: takes no more, and ends what it has begun. Clients of Nomad cap this at their max_kill_timeout, 30 s by
      # default: set it to 120 s.
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
