"""Serving: trained models behind HTTP, streams that share their steps, one gate in front of every route."""
