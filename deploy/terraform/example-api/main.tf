# A REST API as one finds it: /users and /users/{id} passed on to a public JSON API, and
# everything else by a greedy route. It is something to tap, and to practise on.

resource "aws_api_gateway_rest_api" "example" {
  name               = var.name
  description        = "Something for tapway to tap"
  binary_media_types = var.binary_media_types
  tags               = var.tags

  endpoint_configuration {
    types = ["REGIONAL"]
  }

  lifecycle {
    ignore_changes = [tags["tapway:state"], tags_all["tapway:state"]] # of `tapway attach`
  }
}

locals {
  api = aws_api_gateway_rest_api.example

  resources = {
    users = { parent = local.api.root_resource_id, part = "users" }
    proxy = { parent = local.api.root_resource_id, part = "{proxy+}" }
  }

  # method + where it goes; mapping says which of the route's parameters the URL takes.
  methods = {
    "users-get"  = { resource = aws_api_gateway_resource.top["users"].id, method = "GET", uri = "${var.backend}/users", path = [] }
    "users-post" = { resource = aws_api_gateway_resource.top["users"].id, method = "POST", uri = "${var.backend}/users", path = [] }
    "user-any"   = { resource = aws_api_gateway_resource.user.id, method = "ANY", uri = "${var.backend}/users/{id}", path = ["id"] }
    "proxy-any"  = { resource = aws_api_gateway_resource.top["proxy"].id, method = "ANY", uri = "${var.backend}/{proxy}", path = ["proxy"] }
  }
}

resource "aws_api_gateway_resource" "top" {
  for_each = local.resources

  rest_api_id = local.api.id
  parent_id   = each.value.parent
  path_part   = each.value.part
}

resource "aws_api_gateway_resource" "user" {
  rest_api_id = local.api.id
  parent_id   = aws_api_gateway_resource.top["users"].id
  path_part   = "{id}"
}

resource "aws_api_gateway_method" "example" {
  for_each = local.methods

  rest_api_id        = local.api.id
  resource_id        = each.value.resource
  http_method        = each.value.method
  authorization      = "NONE"
  request_parameters = { for name in each.value.path : "method.request.path.${name}" => true }
}

resource "aws_api_gateway_integration" "example" {
  for_each = local.methods

  rest_api_id             = local.api.id
  resource_id             = each.value.resource
  http_method             = aws_api_gateway_method.example[each.key].http_method
  type                    = "HTTP_PROXY"
  integration_http_method = each.value.method
  uri                     = each.value.uri
  request_parameters      = { for name in each.value.path : "integration.request.path.${name}" => "method.request.path.${name}" }

  # What `tapway attach` makes of an integration stays; a new backend is a new integration.
  lifecycle {
    ignore_changes       = all
    replace_triggered_by = [terraform_data.backend[each.key]]
  }
}

resource "terraform_data" "backend" {
  for_each = local.methods

  input = each.value.uri
}

resource "aws_api_gateway_deployment" "example" {
  rest_api_id = local.api.id

  # Chosen fields: what the provider computes would ask for one more deployment each time.
  triggers = {
    routes = sha256(jsonencode([for key in sort(keys(local.methods)) : [key, local.methods[key].method, local.methods[key].uri, local.methods[key].path]]))
  }

  depends_on = [aws_api_gateway_integration.example]

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "example" {
  rest_api_id   = local.api.id
  deployment_id = aws_api_gateway_deployment.example.id
  stage_name    = var.stage
  tags          = var.tags

  lifecycle {
    ignore_changes = [deployment_id] # `tapway attach` deploys too
  }
}

resource "aws_api_gateway_method_settings" "all" {
  count = var.throttle == null ? 0 : 1

  rest_api_id = local.api.id
  stage_name  = aws_api_gateway_stage.example.stage_name
  method_path = "*/*"
  settings {
    throttling_rate_limit  = var.throttle.rate
    throttling_burst_limit = var.throttle.burst
  }
}
