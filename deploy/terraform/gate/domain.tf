resource "aws_api_gateway_domain_name" "domain" {
  count = var.domain == null ? 0 : 1

  domain_name              = var.domain.name
  regional_certificate_arn = var.domain.certificate_arn
  security_policy          = var.domain.security_policy
  tags                     = var.tags

  endpoint_configuration {
    types = ["REGIONAL"]
  }

  dynamic "mutual_tls_authentication" {
    for_each = var.domain.truststore_uri[*]
    content {
      truststore_uri = mutual_tls_authentication.value
    }
  }
}

resource "aws_api_gateway_base_path_mapping" "domain" {
  count = var.domain == null ? 0 : 1

  api_id      = var.rest_api_id
  stage_name  = var.stage
  domain_name = aws_api_gateway_domain_name.domain[0].domain_name
  base_path   = var.domain.base_path
}

resource "aws_route53_record" "domain" {
  count = try(var.domain.zone_id, null) == null ? 0 : 1

  zone_id = var.domain.zone_id
  name    = var.domain.name
  type    = "A"
  alias {
    name                   = aws_api_gateway_domain_name.domain[0].regional_domain_name
    zone_id                = aws_api_gateway_domain_name.domain[0].regional_zone_id
    evaluate_target_health = false
  }
}

resource "aws_security_group" "endpoint" {
  count = var.private == null ? 0 : 1

  name        = "${var.name}-execute-api"
  description = "Who may reach private APIs through the endpoint"
  vpc_id      = var.private.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "endpoint" {
  for_each = toset(try(var.private.client_cidrs, []))

  security_group_id = aws_security_group.endpoint[0].id
  description       = "HTTPS from clients"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_vpc_endpoint" "private" {
  count = var.private == null ? 0 : 1

  vpc_id              = var.private.vpc_id
  service_name        = "com.amazonaws.${local.region}.execute-api"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = var.private.subnet_ids
  security_group_ids  = [aws_security_group.endpoint[0].id]
  private_dns_enabled = var.private.private_dns_enabled
  tags                = var.tags
}
