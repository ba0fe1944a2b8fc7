# The regional endpoint: a network load balancer ends TLS on 443 and speaks TLS to the gateways. A network one, because
# WebSockets live long: it holds no request, and drops no connection when it grows.

resource "aws_lb" "this" {
  name                             = "yurt-${var.region}"
  load_balancer_type               = "network"
  internal                         = false
  subnets                          = var.subnet_ids
  security_groups                  = [var.group_id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.protected
  tags                             = { Name = "yurt-${var.region}" }

  access_logs {
    bucket  = var.logs_bucket
    prefix  = "yurt-${var.region}"
    enabled = true
  }
}

resource "aws_lb_target_group" "gateway" {
  name                   = "yurt-${var.region}-gateway"
  port                   = var.gateway_port
  protocol               = "TLS"
  vpc_id                 = var.vpc_id
  deregistration_delay   = 60
  connection_termination = false # a WebSocket ends when its execution does
  preserve_client_ip     = true
  tags                   = { Name = "yurt-${var.region}-gateway" }

  health_check {
    protocol            = "HTTPS"
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "TLS"
  alpn_policy       = "HTTP1Only"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = aws_acm_certificate_validation.this.certificate_arn
  tags              = { Name = "yurt-${var.region}" }

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.gateway.arn
  }
}

# -- the certificate: for the name of the region, and the one that all regions share -------------------------------------

resource "aws_acm_certificate" "this" {
  domain_name               = "${var.region}.${var.domain}"
  subject_alternative_names = [var.domain]
  validation_method         = "DNS"
  tags                      = { Name = "yurt-${var.region}" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "proof" {
  for_each = toset(["${var.region}.${var.domain}", var.domain])

  zone_id         = var.zone_id
  name            = one([for proof in aws_acm_certificate.this.domain_validation_options : proof.resource_record_name if proof.domain_name == each.key])
  type            = one([for proof in aws_acm_certificate.this.domain_validation_options : proof.resource_record_type if proof.domain_name == each.key])
  records         = [one([for proof in aws_acm_certificate.this.domain_validation_options : proof.resource_record_value if proof.domain_name == each.key])]
  ttl             = 300
  allow_overwrite = true # every region proves the shared name
}

resource "aws_acm_certificate_validation" "this" {
  certificate_arn         = aws_acm_certificate.this.arn
  validation_record_fqdns = [for record in aws_route53_record.proof : record.fqdn]
}
