# The region's NATS: one JetStream cluster, joined by gateways to those of the other regions.
#
#   nomad job run -hcl2-strict=false -var-file=us-east.vars.hcl nats.nomad.hcl
#
# One vars file serves every job of a region, so each job must pass over what is meant for the others: that is what
# -hcl2-strict=false does. A misspelt name is caught by the project's tests instead.
#
# What it stands on
#   - A server is its node: its name, its data (the host volume "jetstream") and its address belong together and stay
#     the same over restarts. A server that came back under another name would be a new member of the meta group.
#   - The peers are listed, not discovered: from the list a new server knows how many make a quorum. One that
#     discovered nobody would begin a cluster of its own.
#   - Everything is registered in one region; there are no cross-region Nomad jobs. Register this file once a region.
#
# Secrets, readable by this Nomad job alone, all of them made by `yurt bootstrap --keys keys --server NODE=HOST …`, where
# NODE is the Nomad node's name:
#   nomad var put nomad/jobs/nats accounts=@keys/REGION/accounts.conf ca=@keys/authority/ca.pem \
#     cert_NODE=@keys/REGION/NODE.pem key_NODE=@keys/REGION/NODE-key.pem …

variable "region" {
  type        = string
  description = "The region: also the name of its NATS cluster, which is where its streams are placed."
  validation {
    condition     = regex_replace(var.region, "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", "") == ""
    error_message = "Use lower-case letters, digits and inner hyphens, at most 40: us-east."
  }
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
  description = "docker runs nats_image; raw_exec runs nats_command from the node (a development agent)."
  validation {
    condition     = contains(["docker", "raw_exec"], var.driver)
    error_message = "It is docker or raw_exec."
  }
}

variable "secured" {
  type        = bool
  default     = true
  description = "TLS, NKeys and permissions, from the Nomad variable nomad/jobs/nats. Without: open, for loopback only."
}

variable "nats_pool" {
  type        = string
  default     = "nats"
  description = "The node pool of the servers: few nodes, with fast disks, that nothing else may fill."
}

variable "nats_image" {
  type        = string
  default     = "nats:2.15.1-alpine"
  description = "For driver docker. 2.15 or newer: sync_interval always then costs one fsync for many messages."
}

variable "nats_command" {
  type        = string
  default     = "nats-server"
  description = "For driver raw_exec: the server's program on the node."
}

variable "nats_data" {
  type        = string
  default     = "/var/lib/jetstream"
  description = "For driver raw_exec: the folder of the streams. With docker it is the host volume jetstream."
}

variable "peers" {
  type        = list(string)
  default     = []
  description = "The cluster's servers, each by a name or address that its node keeps. Empty: one server on its own, R1."
  validation {
    condition     = contains([0, 1, 3, 5], length(var.peers))
    error_message = "A cluster has 1, 3 or 5 servers: an even number tolerates no more losses than one less."
  }
}

variable "neighbours" {
  type        = list(object({ name = string, urls = list(string) }))
  default     = []
  description = "The other regions' clusters: { name = \"eu-west\", urls = [\"nats://nats-1.eu-west…:7222\"] }."
}

variable "nats_ports" {
  type        = object({ client = number, cluster = number, gateway = number, monitor = number })
  default     = { client = 4222, cluster = 6222, gateway = 7222, monitor = 8222 }
  description = "Static: peers and neighbours are told them."
}

variable "zone" {
  type        = string
  default     = "$${meta.zone}"
  description = "The node attribute that tells availability zones apart; replicas of a stream lie in different ones."
}

variable "max_file" {
  type        = string
  default     = "150G"
  description = "The most that JetStream stores on a node; leave a quarter of the disk free."
}

variable "nats_cpu" {
  type        = number
  default     = 2000
  description = "MHz."
}

variable "nats_memory" {
  type        = number
  default     = 4096
  description = "MB. An hour of results at 500 a second is 0.8 GB of it."
}

variable "lame_duck_s" {
  type        = number
  default     = 30
  description = "Over how many seconds clients are sent to the other servers when one stops."
  validation {
    condition     = var.lame_duck_s >= 30 && var.lame_duck_s <= 60
    error_message = "From 30, the server's least, to 60: the kill timeout is 90 s."
  }
}

variable "settle" {
  type        = string
  default     = "15s"
  description = "How long a new allocation must be healthy before the next one is replaced."
}

locals {
  # Routes and gateways are between servers: both sides show a certificate. Clients show an NKey instead.
  tls = join(", ", [for name in ["cert", "key", "ca"] : "${name}_file: \"{{ env \"NOMAD_SECRETS_DIR\" }}/${name}.pem\""])
}

job "nats" {
  namespace   = var.namespace
  datacenters = var.datacenters
  node_pool   = var.nats_pool
  type        = "service"
  priority    = 90 # what everything else waits for is the last to be preempted

  # A host namespace and a host volume are used below; before 2.0.4 both could be abused (CVE-2026-14891, -14896).
  constraint {
    attribute = "${attr.nomad.version}"
    operator  = "semver"
    value     = ">= 2.0.4-0"
  }

  # Two servers on one node would share its data and its name.
  constraint {
    operator = "distinct_hosts"
    value    = "true"
  }

  spread {
    attribute = var.zone
    weight    = 100
  }

  # One server at a time, and the next only when this one has caught up: a cluster of three bears one loss.
  # No canary: there is a node for each server, and none for a fourth.
  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = var.settle
    healthy_deadline  = "5m"
    progress_deadline = "10m"
    auto_revert       = true
    stagger           = "30s"
  }

  group "nats" {
    count = max(1, length(var.peers))

    # Out of discovery first, then lame duck.
    shutdown_delay = "2s"

    network {
      port "client" {
        static = var.nats_ports.client
      }
      port "cluster" {
        static = var.nats_ports.cluster
      }
      port "gateway" {
        static = var.nats_ports.gateway
      }
      port "monitor" {
        static = var.nats_ports.monitor
      }
    }

    dynamic "volume" {
      for_each = var.driver == "docker" ? ["jetstream"] : []
      labels   = [volume.value]
      content {
        type            = "host"
        source          = volume.value
        access_mode     = "single-node-single-writer"
        attachment_mode = "file-system"
      }
    }

    # A failed server is first tried again where its data is. Elsewhere it would be another server, so that is rare.
    restart {
      attempts = 10
      interval = "10m"
      delay    = "5s"
      mode     = "delay"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    # A node that the Nomad servers lose sight of keeps its NATS: cut off is not broken, and its streams are there.
    disconnect {
      lost_after = "24h"
      replace    = false
      reconcile  = "keep_original"
    }

    # What is drained is drained one node at a time, like an update.
    migrate {
      max_parallel     = 1
      health_check     = "checks"
      min_healthy_time = var.settle
      healthy_deadline = "5m"
    }

    service {
      name     = "yurt-nats"
      provider = var.provider
      port     = "client"
      tags     = ["region-${var.region}"]

      meta {
        region      = var.region
        server_name = "${node.unique.name}"
      }

      # js-server-only: a region that is cut off from the meta group still serves, and must not be restarted for it.
      check {
        name            = "jetstream"
        type            = "http"
        port            = "monitor"
        protocol        = var.secured ? "https" : "http"
        tls_skip_verify = var.secured # asked by address, and the certificate bears names
        path            = "/healthz?js-server-only=true"
        interval        = "5s"
        timeout         = "2s"

        check_restart {
          limit = 6
          grace = "2m" # streams are read before the server is healthy
        }
      }
    }

    task "nats" {
      driver = var.driver

      # SIGUSR2 is lame duck: no new clients, the old ones are sent away one after the other; a server on its own has
      # nobody to send them to. Clients of Nomad cap kill_timeout at their max_kill_timeout, 30 s by default: set it
      # to 120 s.
      kill_signal  = length(var.peers) > 1 ? "SIGUSR2" : "SIGTERM"
      kill_timeout = "90s"

      # Host networking: what is listened on is what is advertised to clients, peers and neighbours.
      dynamic "config" {
        for_each = var.driver == "docker" ? [var.nats_image] : []
        content {
          image           = config.value
          args            = ["-c", "${NOMAD_TASK_DIR}/nats.conf"]
          network_mode    = "host"
          readonly_rootfs = true
          cap_drop        = ["all"]
          security_opt    = ["no-new-privileges"]
        }
      }

      dynamic "config" {
        for_each = var.driver == "raw_exec" ? [var.nats_command] : []
        content {
          command = config.value
          args    = ["-c", "${NOMAD_TASK_DIR}/nats.conf"]
        }
      }

      dynamic "volume_mount" {
        for_each = var.driver == "docker" ? ["jetstream"] : []
        content {
          volume      = volume_mount.value
          destination = "/data"
        }
      }

      # Reloaded in place: the server takes up new limits, accounts and certificates without losing a connection.
      template {
        destination   = "local/nats.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<-EOT
          server_name: "{{ env "node.unique.name" }}"
          server_tags: ["region:${var.region}", "az:{{ env "meta.zone" }}"]
          listen: "{{ env "NOMAD_ADDR_client" }}"
          ${var.secured ? "https" : "http"}: "{{ env "NOMAD_ADDR_monitor" }}"
          max_payload: 20971520
          max_pending: 83886080
          lame_duck_duration: "${var.lame_duck_s}s"
          lame_duck_grace_period: "10s"
          jetstream {
            store_dir: "${var.driver == "docker" ? "/data" : var.nats_data}"
            max_file_store: ${var.max_file}
          %{if length(var.peers) > 1~}
            # acknowledged is then on the disks of a quorum, not in the memory of a kernel
            sync_interval: always
            unique_tag: "az:"
          %{endif~}
          }
          %{if length(var.peers) > 0~}
          cluster {
            name: "${var.region}"
            listen: "{{ env "NOMAD_ADDR_cluster" }}"
            connect_retries: 120
            routes: ${jsonencode([for peer in var.peers : "nats://${peer}:${var.nats_ports.cluster}"])}
          %{if var.secured~}
            tls { ${local.tls}, verify: true }
          %{endif~}
          }
          gateway {
            name: "${var.region}"
            listen: "{{ env "NOMAD_ADDR_gateway" }}"
            connect_retries: 120
            gateways: ${jsonencode(var.neighbours)}
          %{if var.secured~}
            tls { ${local.tls}, verify: true }
          %{endif~}
          }
          %{endif~}
          %{if var.secured~}
          tls { ${local.tls} }
          include "../secrets/accounts.conf"
          %{endif~}
        EOT
      }

      # Each server has a certificate of its own, for its own names.
      dynamic "template" {
        for_each = var.secured ? { accounts = "accounts.conf", ca = "ca.pem", cert = "cert.pem", key = "key.pem" } : {}
        content {
          destination   = "secrets/${template.value}"
          perms         = "0600"
          change_mode   = "signal"
          change_signal = "SIGHUP"
          data = join("", [
            "{{ with nomadVar \"nomad/jobs/nats\" }}",
            contains(["cert", "key"], template.key) ? "{{ index . (print \"${template.key}_\" (env \"node.unique.name\")) }}" : "{{ .${template.key} }}",
            "{{ end }}\n",
          ])
        }
      }

      resources {
        cpu    = var.nats_cpu
        memory = var.nats_memory
      }
    }
  }
}
