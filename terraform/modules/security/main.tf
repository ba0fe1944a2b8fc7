# One key, and a security group a role. A rule names the group that may come, or the addresses of the other regions;
# only the load balancer is open to the world, and only on 443.

locals {
  # what any two machines of ours say to each other; gossip goes both ways, so the group admits itself
  gossip = {
    consul-serf-tcp = { port = 8301, protocol = "tcp" }
    consul-serf-udp = { port = 8301, protocol = "udp" }
  }
  # to the servers: from every machine of ours
  to_servers = {
    consul-rpc  = { port = 8300, protocol = "tcp" }
    nomad-rpc   = { port = 4647, protocol = "tcp" }
    nomad-http  = { port = 4646, protocol = "tcp" }
    nomad-serf  = { port = 4648, protocol = "tcp" }
    nomad-serfu = { port = 4648, protocol = "udp" }
  }
  # between the servers of two regions
  servers_wan = {
    consul-rpc  = { port = 8300, protocol = "tcp" }
    consul-wan  = { port = 8302, protocol = "tcp" }
    consul-wanu = { port = 8302, protocol = "udp" }
    nomad-rpc   = { port = 4647, protocol = "tcp" }
    nomad-http  = { port = 4646, protocol = "tcp" }
    nomad-serf  = { port = 4648, protocol = "tcp" }
    nomad-serfu = { port = 4648, protocol = "udp" }
  }
  wan = {
    for pair in setproduct(keys(local.servers_wan), var.peer_cidrs) :
    "${pair[0]} ${pair[1]}" => merge(local.servers_wan[pair[0]], { cidr = pair[1] })
  }
}

data "aws_caller_identity" "this" {}

resource "aws_kms_key" "this" {
  description             = "Yurt ${var.region}: disks, logs, parameters"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:in a key's own policy the account's administrators must be able to manage it
  #checkov:skip=CKV_AWS_111:the same
  #checkov:skip=CKV_AWS_356:in a key's own policy "*" means that key
  # The account's own administrators; AWS requires a key to have some.
  statement {
    sid       = "Administration"
    actions   = ["kms:*"]
    resources = ["*"] # in a key's policy: this key
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.this.account_id}:root"]
    }
  }
  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${var.aws_region}.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:aws:logs:${var.aws_region}:${data.aws_caller_identity.this.account_id}:log-group:/yurt/*"]
    }
  }
  # Auto scaling groups start machines with encrypted disks.
  statement {
    sid       = "Disks"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = [local.autoscaling_role]
    }
  }
  statement {
    sid       = "DiskGrants"
    actions   = ["kms:CreateGrant"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = [local.autoscaling_role]
    }
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}

locals {
  autoscaling_role = "arn:aws:iam::${data.aws_caller_identity.this.account_id}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
}

resource "aws_kms_alias" "this" {
  name          = "alias/yurt-${var.region}"
  target_key_id = aws_kms_key.this.key_id
}

# -- groups -----------------------------------------------------------------------------------------------------------

resource "aws_security_group" "edge" {
  #checkov:skip=CKV2_AWS_5:it is attached in another module, which the check does not follow
  name        = "yurt-${var.region}-edge"
  description = "The load balancer: HTTPS from anywhere, to the gateways"
  vpc_id      = var.vpc_id
  tags        = { Name = "yurt-${var.region}-edge" }
}

resource "aws_security_group" "machine" {
  #checkov:skip=CKV2_AWS_5:it is attached in another module, which the check does not follow
  name        = "yurt-${var.region}-machine"
  description = "Every machine: gossip among each other, and the way out"
  vpc_id      = var.vpc_id
  tags        = { Name = "yurt-${var.region}-machine" }
}

resource "aws_security_group" "role" {
  #checkov:skip=CKV2_AWS_5:it is attached in another module, which the check does not follow
  for_each = toset(["server", "broker", "gateway", "runner"])

  name        = "yurt-${var.region}-${each.key}"
  description = "What reaches a ${each.key}"
  vpc_id      = var.vpc_id
  tags        = { Name = "yurt-${var.region}-${each.key}" }
}

# -- the edge ---------------------------------------------------------------------------------------------------------

resource "aws_vpc_security_group_ingress_rule" "https" {
  security_group_id = aws_security_group.edge.id
  description       = "HTTPS, the one thing that is public"
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "edge_to_gateway" {
  security_group_id            = aws_security_group.edge.id
  description                  = "To the gateways, and their health checks"
  referenced_security_group_id = aws_security_group.role["gateway"].id
  from_port                    = var.gateway_port
  to_port                      = var.gateway_port
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "gateway_from_edge" {
  security_group_id            = aws_security_group.role["gateway"].id
  description                  = "HTTPS from the load balancer"
  referenced_security_group_id = aws_security_group.edge.id
  from_port                    = var.gateway_port
  to_port                      = var.gateway_port
  ip_protocol                  = "tcp"
}

# -- every machine ----------------------------------------------------------------------------------------------------

resource "aws_vpc_security_group_ingress_rule" "gossip" {
  for_each = local.gossip

  security_group_id            = aws_security_group.machine.id
  description                  = each.key
  referenced_security_group_id = aws_security_group.machine.id
  from_port                    = each.value.port
  to_port                      = each.value.port
  ip_protocol                  = each.value.protocol
}

# Programs in sandboxes have no network at all; this is for the machines: packages, artifacts, AWS's own services.
resource "aws_vpc_security_group_egress_rule" "machine_https" {
  security_group_id = aws_security_group.machine.id
  description       = "HTTPS out, by the NAT gateways"
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "machine_inside" {
  for_each = toset(concat([var.cidr], var.peer_cidrs))

  security_group_id = aws_security_group.machine.id
  description       = "To our own machines, here and in the other regions; who is let in is said there"
  cidr_ipv4         = each.key
  ip_protocol       = "-1"
}

# -- servers ----------------------------------------------------------------------------------------------------------

resource "aws_vpc_security_group_ingress_rule" "server" {
  for_each = local.to_servers

  security_group_id            = aws_security_group.role["server"].id
  description                  = each.key
  referenced_security_group_id = aws_security_group.machine.id
  from_port                    = each.value.port
  to_port                      = each.value.port
  ip_protocol                  = each.value.protocol
}

resource "aws_vpc_security_group_ingress_rule" "server_wan" {
  for_each = local.wan

  security_group_id = aws_security_group.role["server"].id
  description       = "${split(" ", each.key)[0]} from another region"
  cidr_ipv4         = each.value.cidr
  from_port         = each.value.port
  to_port           = each.value.port
  ip_protocol       = each.value.protocol
}

# -- brokers ----------------------------------------------------------------------------------------------------------

resource "aws_vpc_security_group_ingress_rule" "broker_client" {
  security_group_id            = aws_security_group.role["broker"].id
  description                  = "NATS clients: our processes, by TLS and their keys"
  referenced_security_group_id = aws_security_group.machine.id
  from_port                    = 4222
  to_port                      = 4222
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "broker_cluster" {
  security_group_id            = aws_security_group.role["broker"].id
  description                  = "NATS routes of the region's cluster"
  referenced_security_group_id = aws_security_group.role["broker"].id
  from_port                    = 6222
  to_port                      = 6222
  ip_protocol                  = "tcp"
}

# 7222: clusters of the other regions. 4222: a gateway whose own region's NATS is gone.
resource "aws_vpc_security_group_ingress_rule" "broker_wan" {
  for_each = {
    for pair in setproduct(["4222", "7222"], var.peer_cidrs) : "${pair[0]} ${pair[1]}" => { port = pair[0], cidr = pair[1] }
  }

  security_group_id = aws_security_group.role["broker"].id
  description       = "NATS from another region"
  cidr_ipv4         = each.value.cidr
  from_port         = tonumber(each.value.port)
  to_port           = tonumber(each.value.port)
  ip_protocol       = "tcp"
}
