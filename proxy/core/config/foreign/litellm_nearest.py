"""What LiteLLM has and this program has not, and what comes nearest to it here."""

from __future__ import annotations

from collections.abc import Mapping

WATCHING = "metrics at /metrics, spans under tracing"
_ALERTS = "alerts of Prometheus over /metrics"
_SECRETS = "references to files: file:/run/secrets/…"
_ELSEWHERE = "a proxy behind or before this one"
_REST = "openai.other among the dialects of a provider"
_KEYS = "virtual keys"
_BUDGETS = "limits.budget, and those of teams and keys"
_BOUND = "part of base_url"

DEPLOYMENT: Mapping[str, str] = {
    "access_groups": "models of a virtual key",
    "additional_drop_params": "param_overrides: null takes a parameter out",
    "allowed_openai_params": "parameters are passed on, known or not",
    "api_version": "Azure's v1 API is used, which needs none",
    "auto_router_config": "models.*.rules",
    "aws_profile_name": "credentials of the provider",
    "aws_role_name": "credentials of the provider",
    "aws_session_name": "credentials of the provider",
    "azure_ad_token": "credentials of the provider",
    "base_model": "prices, under the name the model has at its provider",
    "budget_duration": "quota of the deployment",
    "cache_control_injection_points": "the client's own marks, which are passed on",
    "complexity_router_config": "models.*.rules",
    "cooldown_time": "health.open_base, for all deployments",
    "drop_params": "models.*.strict: false; what is left out is named in a header",
    "extra_query": "query of the provider",
    "health_check_timeout": "timeouts of the deployment",
    "input_cost_per_second": "price of the deployment: second",
    "litellm_credential_name": "credentials of the provider",
    "max_budget": "quota of the deployment",
    "merge_reasoning_content_in_choices": "thoughts are where the client's format has them",
    "mock_response": "the simulator, as the provider's base_url",
    "mock_timeout": "the simulator, as the provider's base_url",
    "output_cost_per_second": "price of the deployment: second",
    "region_name": "a provider of that region, by its base_url",
    "safety_settings": "param_defaults of the deployment, in the words of its provider",
    "ssl_verify": "verify_tls of the provider",
    "tags": "models.*.rules, by metadata",
    "team_id": "models of a virtual key",
    "use_in_pass_through": _REST,
    "vertex_credentials": "credentials of the provider",
    "vertex_location": _BOUND,
    "vertex_project": _BOUND,
}
"""Of `litellm_params` and `model_info`."""

SETTINGS: Mapping[str, str] = {
    "alert_to_webhook_url": _ALERTS,
    "alert_types": _ALERTS,
    "alerting": _ALERTS,
    "alerting_args": _ALERTS,
    "alerting_threshold": _ALERTS,
    "allowed_fails_policy": "health.max_errors",
    "allowed_ips": "cidrs of a virtual key",
    "allowed_routes": "routes of a virtual key",
    "background_health_check_interval": "health.interval",
    "custom_auth": _KEYS,
    "custom_key_generate": _KEYS,
    "database_connection_pool_limit": "one connection for each worker, and one that listens",
    "default_internal_user_params": "teams",
    "default_key_generate_params": "the fields of a virtual key",
    "default_team_settings": "teams",
    "disable_end_user_cost_tracking": "ledger.keep",
    "disable_error_logs": "logging.requests",
    "enable_jwt_auth": _KEYS,
    "enforce_user_param": "owner of a virtual key",
    "enforced_params": "param_overrides",
    "force_ipv4": "both are tried, and the quicker one is used",
    "guardrails": _ELSEWHERE,
    "infer_model_from_keys": "a wildcard for each provider: openai/*",
    "key_management_settings": _SECRETS,
    "key_management_system": _SECRETS,
    "litellm_jwtauth": _KEYS,
    "litellm_key_header_name": "a key may be in any of six places, docs/authentication.md",
    "max_fallbacks": "defaults.retry.max_attempts",
    "max_request_size_mb": "server.max_body",
    "max_response_size_mb": "defaults.timeouts.total",
    "modify_params": "models.*.strict: false; what is left out is named in a header",
    "optional_pre_call_checks": "strategies sticky and prefix, docs/routing.md",
    "pass_through_endpoints": "a provider of its own, with dialects",
    "provider_budget_config": _BUDGETS,
    "proxy_batch_write_at": "ledger.sync",
    "proxy_budget_rescheduler_max_time": "budgets begin anew by the calendar",
    "proxy_budget_rescheduler_min_time": "budgets begin anew by the calendar",
    "public_routes": "auth.exempt",
    "require_auth_for_metrics_endpoint": "server.metrics: false; the admin port has them, too",
    "retry_policy": "what each cause of failure permits is a table, docs/routing.md",
    "routing_strategy_args": "models.*.performance",
    "s3_callback_params": WATCHING,
    "ssl_certificate": "verify_tls of a provider",
    "ssl_verify": "verify_tls of a provider",
    "store_audit_logs": "the admin API has an audit log, /admin/audit",
    "store_prompts_in_spend_logs": "logging.detailed",
    "telemetry": "nothing is told to anybody",
    "ui_access_mode": "users and roles of the admin API, docs/admin-access.md",
    "upperbound_key_generate_params": "teams",
    "use_x_forwarded_for": "cidrs of a virtual key",
    "user_header_name": "owner of a virtual key",
}
"""Of `router_settings`, `litellm_settings` and `general_settings`."""

BESIDE: Mapping[str, str] = {
    "credential_list": "credentials of the providers",
    "files_settings": _REST,
    "finetune_settings": _REST,
    "guardrails": _ELSEWHERE,
    "mcp_servers": "mcp",
    "prompts": "param_defaults, or the client's own",
    "search_tools": "mcp",
    "vector_store_registry": _REST,
}
"""Sections beside those."""
