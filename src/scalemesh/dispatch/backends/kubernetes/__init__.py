"""Builds as Kubernetes Jobs: one Job per attempt, one pod, an agent and a runner that share a folder and no process.

manifests: what is asked for, pure. outcomes: what became of a pod, pure. watcher: the pods as they are, kept up to date
by a watch. backend: the port. Needs the extra `kubernetes`.
"""
