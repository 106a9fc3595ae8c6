"""The torch modules: the weight-sharing encoder, the teacher, exported students."""
