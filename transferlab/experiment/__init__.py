"""What is to be trained: variants, splits, configs, studies and plans; imports no torch.

May import: errors, runtime, models (facts only), data (descriptions only).
"""
