# The region's HTTPS endpoint: takes programs, tells their output, gives results. Keeps nothing itself.
#
#   nomad job run -hcl2-strict=false -var-file=us-east.vars.hcl gateway.nomad.hcl
#
# What it stands on
#   - Gateways are numbered: gateway 0 of us-east tells output under the name us-east-1, and the region file lists the
#     names. During an update two allocations share a number for a while, which is harmless: each answers those that
#     asked it, and what either is told lies in the region's streams.
#   - An update never takes an endpoint away before there is another: first the canary, then one after the other, each
#     out of the service before it stops.
#
# Secrets, readable by this Nomad job alone:
#   nomad var put nomad/jobs/gateway nats_seed=@keys/REGION/gateway.nk nats_ca=@keys/authority/ca.pem tls_cert=@… …
#   nats_seed, nats_ca       the role's NKey seed and the authority of NATS, from `yurt bootstrap --keys keys`
#   tls_cert, tls_key        the endpoint's certificate chain and key; taken up again when they change
#   consul_token             may read services and coordinates; only where there is Consul

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

variable "gateway_pool" {
  type        = string
  default     = "gateway"
  description = "The node pool of the endpoints: the only nodes that the world reaches."
}

variable "gateway_count" {
  type        = number
  default     = 2
  description = "Gateways; the region file must name as many."
  validation {
    condition     = var.gateway_count >= 1
    error_message = "At least one."
  }
}

variable "gateway_canaries" {
  type        = number
  default     = 1
  description = "New ones tried beside the old before an update goes on: needs as many nodes to spare. 0: none."
  validation {
    condition     = contains([0, 1], var.gateway_canaries)
    error_message = "It is 0 or 1."
  }
}

variable "gateway_port" {
  type        = number
  default     = 8443
  description = "The port on each node, as the load balancer knows it."
}

variable "public_url" {
  type        = string
  default     = ""
  description = "What callers reach the region by: https://us-east.example.org. Empty: whatever they asked for."
}

variable "gateway_cpu" {
  type        = number
  default     = 2000
  description = "MHz."
}

variable "gateway_memory" {
  type        = number
  default     = 1024
  description = "MB."
}

job "gateway" {
  namespace   = var.namespace
  datacenters = var.datacenters
  node_pool   = var.gateway_pool
  type        = "service"
  priority    = 90 # without it nothing is accepted: last to be preempted, like NATS

  # The host's network is used below; before 2.0.4 that could be abused (CVE-2026-14891).
  constraint {
    attribute = "${attr.nomad.version}"
    operator  = "semver"
    value     = ">= 2.0.4-0"
  }

  spread {
    attribute = var.zone
    weight    = 100
  }

  spread {
    attribute = "${node.unique.id}"
    weight    = 50
  }

  update {
    canary            = var.gateway_canaries
    auto_promote      = var.gateway_canaries > 0
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = var.settle
    healthy_deadline  = "3m"
    progress_deadline = "10m"
    auto_revert       = true
  }

  meta {
    release = var.release
  }

  group "gateway" {
    count = var.gateway_count

    # Out of the service at once, told to stop only when nobody is sent here any more.
    shutdown_delay = "5s"

    network {
      port "http" {
        static = var.gateway_port
      }
    }

    restart {
      attempts = 3
      interval = "2m"
      delay    = "2s"
      mode     = "fail"
    }

    reschedule {
      delay          = "5s"
      delay_function = "exponential"
      max_delay      = "1m"
      unlimited      = true
    }

    # A gateway that the Nomad servers lose sight of may well be reached by callers: leave it, and add another.
    disconnect {
      lost_after = "1m"
      replace    = true
      reconcile  = "best_score"
    }

    migrate {
      max_parallel     = 1
      health_check     = "checks"
      min_healthy_time = var.settle
      healthy_deadline = "3m"
    }

    service {
      name     = "yurt-gateway"
      provider = var.provider
      port     = "http"
      tags     = ["region-${var.region}"]

      # The url is what gateways of other regions tell callers to go to.
      meta {
        region  = var.region
        version = var.release
        scheme  = var.secured ? "https" : "http"
        url     = var.public_url
      }

      # Dead or stuck: restarted.
      check {
        name            = "alive"
        type            = "http"
        protocol        = var.secured ? "https" : "http"
        tls_skip_verify = var.secured # asked by address, and the certificate bears the region's name
        path            = "/healthz"
        interval        = "5s"
        timeout         = "2s"

        check_restart {
          limit = 3
          grace = "30s"
        }
      }

      # Cannot take jobs (NATS away, nobody to run them, leaving): no callers, and no restart, which would not help.
      check {
        name            = "ready"
        type            = "http"
        protocol        = var.secured ? "https" : "http"
        tls_skip_verify = var.secured
        path            = "/readyz"
        interval        = "5s"
        timeout         = "2s"
      }
    }

    task "gateway" {
      driver = var.driver

      # SIGTERM: requests that wait for a result have 15 s (drain_s), listeners are sent to another gateway. Clients of
      # Nomad cap this at their max_kill_timeout, 30 s by default.
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      # Host networking: no address translation between a caller's WebSocket and the process.
      dynamic "config" {
        for_each = var.driver == "docker" ? ["${var.registry}/gateway:${var.release}"] : []
        content {
          image           = config.value
          args            = ["gateway"]
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
          args    = ["gateway"]
        }
      }

      env {
        YURT_REGION             = var.region
        YURT_REGION_FILE        = "${NOMAD_TASK_DIR}/region.toml"
        YURT_HOST               = "${NOMAD_IP_http}"
        YURT_PORT               = "${NOMAD_PORT_http}"
        YURT_PUBLIC_URL         = var.public_url
        YURT_TLS_CERT_FILE      = var.secured ? "${NOMAD_SECRETS_DIR}/tls_cert" : ""
        YURT_TLS_KEY_FILE       = var.secured ? "${NOMAD_SECRETS_DIR}/tls_key" : ""
        YURT_NATS_URLS          = join(",", var.nats_urls)
        YURT_NATS_SEED_FILE     = var.secured ? "${NOMAD_SECRETS_DIR}/nats_seed" : ""
        YURT_NATS_CA_FILE       = var.secured ? "${NOMAD_SECRETS_DIR}/nats_ca" : ""
        YURT_CONSUL_ADDRESS     = var.consul_address
        YURT_CONSUL_REGISTER    = "false" # the service block above does
        YURT_DRAIN_S            = "15"
        PYTHONDONTWRITEBYTECODE = "1" # the image cannot be written to
      }

      # A new region file is a new version of this job, rolled with its checks, not a restart of all at once.
      template {
        destination = "local/region.toml"
        change_mode = "noop"
        data        = var.region_file
      }

      # The names of the region file count from 1.
      template {
        destination = "local/name.env"
        env         = true
        change_mode = "noop"
        data        = "YURT_GATEWAY=${var.region}-{{ env \"NOMAD_ALLOC_INDEX\" | parseInt | add 1 }}\n"
      }

      # Certificates that change are taken up by the process itself; a new NKey needs a new connection.
      dynamic "template" {
        for_each = var.secured ? { nats_seed = "restart", nats_ca = "restart", tls_cert = "noop", tls_key = "noop" } : {}
        content {
          destination = "secrets/${template.key}"
          perms       = "0600"
          change_mode = template.value
          splay       = "60s"
          data        = "{{ with nomadVar \"nomad/jobs/gateway\" }}{{ .${template.key} }}{{ end }}\n"
        }
      }

      dynamic "template" {
        for_each = var.secured && var.consul_address != "" ? ["consul_token"] : []
        content {
          destination = "secrets/tokens.env"
          env         = true
          perms       = "0600"
          change_mode = "restart"
          splay       = "60s"
          data        = "YURT_CONSUL_TOKEN={{ with nomadVar \"nomad/jobs/gateway\" }}{{ .${template.value} }}{{ end }}\n"
        }
      }

      resources {
        cpu    = var.gateway_cpu
        memory = var.gateway_memory
      }
    }
  }
}
