"""/v1/organization/*: an organization's use, costs, projects and keys in OpenAI's shapes.

For management keys alone. Answered from the database, in threads that no call waits for; each
resource calls the functions that pages and the management API call too. Ids are ours: a project's
slug, a key's public id, a member's number.
"""

from gateway.endpoints.organization.answering import answer_organization
from gateway.endpoints.organization.office import Office

__all__ = ["Office", "answer_organization"]
