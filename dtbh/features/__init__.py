"""Files to tensors: pixels, MFCC and log-mel, and their augmentation."""
