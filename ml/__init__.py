"""What can be learnt from recordings; for now, the recordings themselves (`ml.ecg`)."""
