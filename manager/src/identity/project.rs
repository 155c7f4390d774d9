//! Projects: making, changing, removing.

use hostler_common::id::{ProjectId, UserId};
use serde_json::json;

use super::error::{missing, taken};
use super::user::{check_name, check_text};
use super::{By, Identity, Result, audit, fresh_id};
use crate::store::identity::{
    Project, ProjectFilter, Revoke, grant_delete_project, grant_projects, project_by_name, project_delete,
    project_find, project_insert, project_list, project_update, token_revoke,
};

/// Longest name of a project, in characters.
const NAME_MAX: usize = 64;

/// A project to be made.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// The name, 1 to 64 characters, unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether tokens can be for it.
    pub enabled: bool,
}

/// What shall be different of a project; `None` leaves things as they are.
#[derive(Clone, Debug, Default)]
pub struct ProjectChange {
    /// The name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Whether tokens can be for it. Disabling ends those that are.
    pub enabled: Option<bool>,
}

impl ProjectChange {
    fn named(&self) -> Vec<&'static str> {
        let all = [
            ("name", self.name.is_some()),
            ("description", self.description.is_some()),
            ("enabled", self.enabled.is_some()),
        ];
        all.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
    }

    fn check(&self) -> Result<()> {
        if let Some(name) = &self.name {
            check_name("name", name, NAME_MAX)?;
        }
        self.description.as_ref().map_or(Ok(()), |text| check_text("description", text))
    }
}

impl Identity {
    /// The project of that id.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn project(&self, id: ProjectId) -> Result<Option<Project>> {
        Ok(project_find(&mut *self.read().await?, id).await?)
    }

    /// The project of that name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn project_by_name(&self, name: &str) -> Result<Option<Project>> {
        Ok(project_by_name(&mut *self.read().await?, name).await?)
    }

    /// Projects in the order of their creation.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn projects(&self, filter: &ProjectFilter, limit: u32) -> Result<Vec<Project>> {
        Ok(project_list(&mut *self.read().await?, filter, limit).await?)
    }

    /// The projects in which a user has any role.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn projects_of(&self, user: UserId) -> Result<Vec<Project>> {
        Ok(grant_projects(&mut *self.read().await?, user).await?)
    }

    /// Makes a project.
    ///
    /// # Errors
    /// A refusal of class `Invalid` or `Conflict` (the name); the store does not answer.
    pub async fn project_create(&self, by: &By, new: NewProject) -> Result<Project> {
        let NewProject { name, description, enabled } = new;
        ProjectChange { name: Some(name.clone()), description: Some(description.clone()), enabled: None }.check()?;
        self.commit(by, move |tx, turn| {
            Box::pin(async move {
                if project_by_name(tx, &name).await?.is_some() {
                    return Err(taken("project", &name));
                }
                let id = ProjectId(fresh_id(turn));
                let project = Project { id, name, description, enabled, created_at: turn.now };
                project_insert(tx, &project).await?;
                let event = audit::event("identity.project.created", &id, json!({"name": project.name}));
                Ok((project, vec![event]))
            })
        })
        .await
    }

    /// Changes a project.
    ///
    /// # Errors
    /// A refusal of class `Invalid`, `NotFound` or `Conflict`; the store does not answer.
    pub async fn project_update(&self, by: &By, id: ProjectId, change: ProjectChange) -> Result<Project> {
        change.check()?;
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                let mut project = project_find(tx, id).await?.ok_or_else(|| missing("project", &id))?;
                let named = change.named();
                if let Some(name) = change.name {
                    if project_by_name(tx, &name).await?.is_some_and(|other| other.id != id) {
                        return Err(taken("project", &name));
                    }
                    project.name = name;
                }
                project.description = change.description.unwrap_or(project.description);
                project.enabled = change.enabled.unwrap_or(project.enabled);
                project_update(tx, &project).await?;
                if !project.enabled {
                    token_revoke(tx, Revoke::Project(id)).await?;
                }
                let data = json!({"name": project.name, "changed": named});
                Ok((project, vec![audit::event("identity.project.updated", &id, data)]))
            })
        })
        .await
    }

    /// Removes a project with its grants, its application credentials and its tokens.
    ///
    /// # Errors
    /// A refusal of class `NotFound`; the store does not answer.
    pub async fn project_delete(&self, by: &By, id: ProjectId) -> Result<()> {
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                let project = project_find(tx, id).await?.ok_or_else(|| missing("project", &id))?;
                token_revoke(tx, Revoke::Project(id)).await?;
                grant_delete_project(tx, id).await?;
                project_delete(tx, id).await?;
                let event = audit::event("identity.project.deleted", &id, json!({"name": project.name}));
                Ok(((), vec![event]))
            })
        })
        .await
    }
}
