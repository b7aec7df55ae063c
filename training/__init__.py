"""What turns data into weights, room by room: data, treatments, targets, evaluation, report."""

if __package__ == "training":
    import modeling
else:  # installed, `modeling` is fer_efficientnet's
    from .. import modeling

__all__ = ["modeling"]
