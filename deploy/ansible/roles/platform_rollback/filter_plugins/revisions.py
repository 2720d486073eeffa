"""Says which Deployments a rollback has to move, and where to."""

REVISION = "deployment.kubernetes.io/revision"


def steps_back(objects, record):
    """What `rollout undo` has to do, as a list of {name, revision}.

    The objects are the namespace's Deployments and ReplicaSets; the record is the ConfigMap
    last-release, whose `revision.NAME` is what NAME had before the deployment. Going back gives the
    old ReplicaSet a new revision, so a step that was made is not found a second time; nor is one to a
    revision that the cluster has forgotten.
    """
    kept = set()
    for item in objects:
        for owner in item["metadata"].get("ownerReferences", []):
            kept.add((owner["name"], item["metadata"].get("annotations", {}).get(REVISION)))
    steps = []
    for item in objects:
        name = item["metadata"]["name"]
        before = record.get("revision." + name)
        if item["kind"] != "Deployment" or before is None:
            continue
        if before != item["metadata"].get("annotations", {}).get(REVISION) and (name, before) in kept:
            steps.append({"name": name, "revision": before})
    return steps


def unsettled(objects):
    """The names of the Deployments of which the cluster has not noted what it was told last: until then
    they have the revision of before."""
    return [
        item["metadata"]["name"]
        for item in objects
        if item["kind"] == "Deployment" and item.get("status", {}).get("observedGeneration") != item["metadata"]["generation"]
    ]


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        return {"steps_back": steps_back, "unsettled": unsettled}
