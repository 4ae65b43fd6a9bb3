"""What both HTTP APIs share: web server, request checks, authentication, problem details, OpenAPI, paging."""
