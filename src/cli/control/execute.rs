//! Carries out a [`Request`] with the use cases of the service layer.

use std::sync::Arc;

use super::{Account, Request, Response, User, UserRole, conflicts, network};
use crate::auth::Secret;
use crate::cli::Failure;
use crate::domain::account::{Email, Username};
use crate::domain::actor::{Actor, Role};
use crate::domain::conflict::Decision;
use crate::domain::patient::{Dni, NewPatient, Patient};
use crate::domain::text;
use crate::peer::PeerNode;
use crate::service::{App, Error, patients, recovery, seed, staff};
use crate::store::staff::Staff;

/// Carries out `request` as the operator.
pub async fn execute(node: &Arc<PeerNode>, request: Request) -> Response {
    let app = &*node.app;
    let done = match request {
        Request::SetBlocked { account, blocked } => set_blocked(app, account, blocked).await,
        Request::ResetPassword(account) => reset_password(app, account).await,
        Request::ListUsers(role) => list(app, role).await,
        Request::Seed => seed::load(app, &Actor::operator())
            .await
            .map(|seeded| Response::Seeded {
                admin: seeded.admin,
            })
            .map_err(Failure::from),
        add @ (Request::AddPatient { .. } | Request::AddStaff { .. }) => add_user(app, add).await,
        Request::Invite { valid_s, address } => network::invite(node, valid_s, address).await,
        Request::ListPeers => network::list(node).await,
        Request::RevokePeer(which) => network::revoke(node, &which).await,
        Request::RenamePeer { which, name } => network::rename(node, &which, &name).await,
        Request::BeginSync(which) => network::begin_sync(node, &which).await,
        Request::ShowSync => network::show_sync(node),
        Request::ListConflicts { after, limit } => conflicts::list(app, after, limit).await,
        Request::ShowConflict(id) => conflicts::show(app, &id).await,
        Request::SettleConflict {
            id,
            choice,
            reason,
            mg_dl,
        } => {
            let decision = Decision {
                choice,
                reason,
                mg_dl,
                version: None,
            };
            conflicts::settle(app, &id, decision).await
        }
    };
    done.unwrap_or_else(|failure| Response::Refused {
        exit: failure.exit,
        text: failure.text,
    })
}

async fn add_user(app: &App, request: Request) -> Result<Response, Failure> {
    match request {
        Request::AddPatient {
            dni,
            name,
            surname,
            email,
            hospital_account,
            tidepool,
            password,
        } => {
            let line = |field, value: &str| text::line(value).map_err(Error::invalid(field));
            let new = NewPatient {
                dni: Dni::parse(&dni).map_err(Error::invalid("dni"))?,
                name: line("name", &name)?,
                surname: line("surname", &surname)?,
                email: Email::parse(&email).map_err(Error::invalid("email"))?,
                tidepool: tidepool.map(|value| line("tidepool", &value)).transpose()?,
                hospital_account: line("hospital_account", &hospital_account)?,
                blocked: false,
                former_times_measured: 0,
                former_max_streak: 0,
            };
            let operator = Actor::operator();
            if let Some(password) = password {
                let patient = patients::register(app, &operator, new, password, None).await?;
                return Ok(Response::User(patient.into()));
            }
            let (patient, code) = recovery::invite(app, &operator, new).await?;
            Ok(Response::Invited {
                user: patient.into(),
                code: code.grouped(),
                valid_hours: valid_hours(app),
            })
        }
        Request::AddStaff {
            username,
            email,
            admin,
            password,
        } => add_staff(app, &username, &email, admin, password).await,
        _ => Err(Failure::new("this is not a request to add somebody")),
    }
}

async fn add_staff(
    app: &App,
    username: &str,
    email: &str,
    admin: bool,
    password: Secret,
) -> Result<Response, Failure> {
    let username = Username::parse(username).map_err(Error::invalid("user name"))?;
    let email = Email::parse(email).map_err(Error::invalid("email"))?;
    let role = if admin { Role::Admin } else { Role::Staff };
    let operator = Actor::operator();
    let staff = staff::register(app, &operator, username, email, password, role, None).await?;
    Ok(Response::User(staff.into()))
}

async fn set_blocked(app: &App, account: Account, blocked: bool) -> Result<Response, Failure> {
    let operator = Actor::operator();
    Ok(Response::User(match account {
        Account::Patient(dni) => patients::set_blocked(app, &operator, dni, blocked)
            .await?
            .into(),
        Account::Staff(name) => staff::set_blocked(app, &operator, name, blocked)
            .await?
            .into(),
    }))
}

async fn reset_password(app: &App, account: Account) -> Result<Response, Failure> {
    let operator = Actor::operator();
    let code = match account {
        Account::Patient(dni) => {
            let id = patients::find_by_dni(app, &operator, dni).await?.id;
            recovery::desk_code(app, &operator, id).await?
        }
        Account::Staff(name) => {
            let id = staff::find_by_name(app, &operator, name).await?.id;
            recovery::staff_code(app, &operator, id).await?
        }
    };
    Ok(Response::Code {
        code: code.grouped(),
        valid_hours: valid_hours(app),
    })
}

fn valid_hours(app: &App) -> u64 {
    app.lifetimes.desk_code.as_secs() / 3600
}

async fn list(app: &App, role: Option<UserRole>) -> Result<Response, Failure> {
    let operator = Actor::operator();
    let mut users: Vec<User> = Vec::new();
    if matches!(role, None | Some(UserRole::Patient)) {
        let patients = patients::list(app, &operator).await?;
        users.extend(patients.into_iter().map(User::from));
    }
    if role != Some(UserRole::Patient) {
        let staff = staff::list(app, &operator).await?;
        let staff = staff.into_iter().map(User::from);
        users.extend(staff.filter(|user| role.is_none() || user.role == role));
    }
    Ok(Response::Users(users))
}

impl From<Patient> for User {
    fn from(patient: Patient) -> Self {
        Self {
            id: patient.id,
            role: Some(UserRole::Patient),
            name: patient.dni,
            person: Some(format!("{} {}", patient.name, patient.surname)),
            email: patient.email,
            blocked: patient.blocked,
        }
    }
}

impl From<Staff> for User {
    fn from(staff: Staff) -> Self {
        Self {
            id: staff.id,
            role: staff.role.map(|role| match role {
                Role::Admin => UserRole::Admin,
                Role::Staff | Role::Patient => UserRole::Staff,
            }),
            name: staff.username,
            person: None,
            email: staff.email,
            blocked: staff.blocked,
        }
    }
}
