"""Builds as tasks of AWS ECS: one task per attempt, an agent and a runner that share volumes and no process.

requests: what is asked for, pure. outcomes: what became of a task, pure. parameters: the tokens, in SSM. board: the
tasks as they are, in few calls. aws: the clients, and their errors as ours. backend: the port. Needs the extra `ecs`.
"""
