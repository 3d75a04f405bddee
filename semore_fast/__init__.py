"""How fast Semore is: the trainer, its simulator and the fast twins of what `semore` defines."""
