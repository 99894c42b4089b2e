"""All that knows Lightning: from the configs of a pack to its finished runs.

May import: errors, runtime, models, data, experiment, store.
"""
