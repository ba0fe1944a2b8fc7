# What each kind of machine may ask of AWS: its artifacts, its own secrets, and the calls that its work needs.

locals {
  parameters = {
    server  = ["consul-*", "nomad-*"]
    broker  = ["consul-ca", "consul-gossip", "consul-agent-token", "nats-*"]
    gateway = ["consul-ca", "consul-gossip", "consul-agent-token", "nomad-ca", "nomad-client-*", "nomad-consul-token"]
    runner  = ["consul-ca", "consul-gossip", "consul-agent-token", "nomad-ca", "nomad-client-*", "nomad-consul-token"]
  }
}

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "role" {
  for_each = local.parameters

  statement {
    sid       = "Artifacts"
    actions   = ["s3:GetObject"]
    resources = ["arn:${data.aws_partition.this.partition}:s3:::${var.artifacts_bucket}/*"]
  }
  statement {
    sid     = "Secrets"
    actions = ["ssm:GetParameter"]
    resources = [
      for name in each.value :
      "arn:${data.aws_partition.this.partition}:ssm:${var.aws_region}:${data.aws_caller_identity.this.account_id}:parameter/yurt/${var.region}/${name}"
    ]
  }
  statement {
    sid       = "SecretsKey"
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
  }
  statement {
    sid       = "FindServers"
    actions   = ["ec2:DescribeInstances"]
    resources = ["*"] # AWS knows no narrower one
    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.aws_region]
    }
  }
}

resource "aws_iam_role" "role" {
  for_each = local.parameters

  name               = "yurt-${var.region}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = { Name = "yurt-${var.region}-${each.key}" }
}

resource "aws_iam_role_policy" "role" {
  for_each = local.parameters

  name   = "yurt"
  role   = aws_iam_role.role[each.key].id
  policy = data.aws_iam_policy_document.role[each.key].json
}

resource "aws_iam_instance_profile" "role" {
  for_each = local.parameters

  name = "yurt-${var.region}-${each.key}"
  role = aws_iam_role.role[each.key].name
}

# -- a runner that leaves -----------------------------------------------------------------------------------------------
# The group waits (a lifecycle hook) until the machine says that its programs have ended.

data "aws_iam_policy_document" "drain" {
  statement {
    sid     = "SayThatItIsDrained"
    actions = ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"]
    resources = [
      "arn:${data.aws_partition.this.partition}:autoscaling:${var.aws_region}:${data.aws_caller_identity.this.account_id}:autoScalingGroup:*:autoScalingGroupName/yurt-${var.region}-*",
    ]
  }
}

resource "aws_iam_role_policy" "drain" {
  name   = "drain"
  role   = aws_iam_role.role["runner"].id
  policy = data.aws_iam_policy_document.drain.json
}

# -- the flow log -------------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "flow_assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["vpc-flow-logs.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "flow" {
  statement {
    actions = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    resources = [
      "arn:${data.aws_partition.this.partition}:logs:${var.aws_region}:${data.aws_caller_identity.this.account_id}:log-group:/yurt/${var.region}/flow:*",
    ]
  }
}

resource "aws_iam_role" "flow" {
  name               = "yurt-${var.region}-flow"
  assume_role_policy = data.aws_iam_policy_document.flow_assume.json
  tags               = { Name = "yurt-${var.region}-flow" }
}

resource "aws_iam_role_policy" "flow" {
  name   = "write"
  role   = aws_iam_role.flow.id
  policy = data.aws_iam_policy_document.flow.json
}
