"""The trainer of the bundled sample model: books in, a Hugging Face folder out. `wsekern.workload.sample` holds the model.

``python -m wsekern.sample.train`` runs it; only `network`, `optimizer` and `loop` import PyTorch. Nothing else of the package
imports this one.
"""
