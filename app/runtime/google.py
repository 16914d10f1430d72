"""The operator's Google client, as the settings say."""

from app.config import Settings
from app.integrations.google import CALLBACK, GoogleOptions
from app.runtime.workshop import plain


def google_options(settings: Settings) -> GoogleOptions | None:
    """What accounts are linked with; None where the operator has named no OAuth client."""
    google, secret = settings.google, plain(settings.google.client_secret)
    if not google.client_id or not secret:
        return None
    home = settings.server.public_url or f"http://localhost:{settings.server.port}"
    return GoogleOptions(
        client_id=google.client_id,
        client_secret=secret,
        redirect_uri=google.redirect_uri or f"{home.rstrip('/')}{CALLBACK}",
        authorize_url=google.authorize_url,
        token_url=google.token_url,
        revoke_url=google.revoke_url,
        userinfo_url=google.userinfo_url,
        certs_url=google.certs_url,
        gmail_base_url=google.gmail_base_url,
    )
