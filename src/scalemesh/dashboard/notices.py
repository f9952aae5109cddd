"""What a page says after a form was sent: by key in the address, so that nobody can put words into our mouth."""

NOTICES = {
    "canceled": "Cancel requested. The build stops within seconds.",
    "deleted": "Project deleted.",
    "env-removed": "Variable removed. It counts from the next deployment on.",
    "env-saved": "Variable saved. It counts from the next deployment on.",
    "hook-made": "Webhook created. Add its URL and secret to your repository.",
    "hook-removed": "Webhook removed. Pushes are refused from now on.",
    "key-made": "Deploy key created. Add the public key to your repository.",
    "promoted": "Promoted. It is live in production now.",
    "rolled-back": "Rolled back. Production stays on this deployment until you promote another.",
    "saved": "Settings saved. They count from the next deployment on.",
    "signed-out": "You are signed out.",
    "token-revoked": "Token revoked. It stopped working at once.",
}
