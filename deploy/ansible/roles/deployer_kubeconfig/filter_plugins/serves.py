"""Says whether a kubeconfig that was written before will still do."""

import base64
import json
import time


def serves(document, cluster, namespace, uid):
    """Whether the kubeconfig, as text, reaches this cluster and namespace with a token of this
    ServiceAccount (an account that was made anew has another uid) of whose life a third is left.

    What cannot be read will not do.
    """
    try:
        config = json.loads(document)
        token = config["users"][0]["user"]["token"]
        claims = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return (
            config["clusters"][0]["cluster"] == cluster
            and config["contexts"][0]["context"]["namespace"] == namespace
            and claims["kubernetes.io"]["serviceaccount"]["uid"] == uid
            and claims["exp"] - time.time() > (claims["exp"] - claims["iat"]) / 3
        )
    except (ValueError, LookupError, TypeError):
        return False


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        return {"serves": serves}
