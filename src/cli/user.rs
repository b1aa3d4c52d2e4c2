//! `islet user`: accounts of patients and staff. Must never print a password or a hash.

use std::path::PathBuf;

use super::control::{Account, Request, Response, User, UserRole, perform};
use super::{DataDir, Failure, ask, output};
use crate::auth::Secret;

/// Subcommands of `islet user`.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "All of these work while the node runs. Examples:
  islet user add dra.paz --role staff --email paz@example.org
  islet user add 30111222 --role patient --name Ana --surname Paz --email ana@example.org \\
                 --hospital-account HC-77
  islet user reset-password 30111222 --role patient
  islet user list --role patient --json")]
pub(super) enum UserCommand {
    /// Register a patient or a member of staff
    Add(Box<AddArgs>),
    /// Keep somebody out and end their sessions
    Block(AccountArgs),
    /// Let somebody in again
    Unblock(AccountArgs),
    /// Make a one-time code with which somebody chooses a new password
    #[command(
        long_about = "Prints a one-time code. Its owner types it at /reset-password on the \
node, or into the phone app, and chooses a new password; all their sessions end then. Until then \
the old password still works: block the account when it is in wrong hands."
    )]
    ResetPassword(AccountArgs),
    /// List accounts
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    /// DNI of a patient, user name of staff
    #[arg(value_name = "NAME")]
    login: String,
    /// What the account may do
    #[arg(long)]
    role: UserRole,
    /// Where recovery mails go
    #[arg(long)]
    email: String,
    /// Given name of a patient
    #[arg(long, required_if_eq("role", "patient"))]
    name: Option<String>,
    /// Family name of a patient
    #[arg(long, required_if_eq("role", "patient"))]
    surname: Option<String>,
    /// Number of a patient in the hospital's own records
    #[arg(long, required_if_eq("role", "patient"))]
    hospital_account: Option<String>,
    /// Tidepool account of a patient
    #[arg(long)]
    tidepool: Option<String>,
    /// File with the first password on one line; - is standard input. Without it, staff are asked
    /// for one, and of patients a one-time code is printed with which they choose it
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Print the account as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct AccountArgs {
    /// DNI of a patient, user name of staff
    #[arg(value_name = "NAME")]
    login: String,
    /// Whose account it is: patient, or staff and admin alike
    #[arg(long)]
    role: UserRole,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only these
    #[arg(long)]
    role: Option<UserRole>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// Runs `islet user …`.
///
/// # Errors
/// When it is refused.
pub(super) fn run(command: &UserCommand, data: &DataDir) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => {
            data.require_node()?;
            show(perform(data, add(args)?)?, "was added", args.json)
        }
        UserCommand::Block(args) => set_blocked(args, data, true),
        UserCommand::Unblock(args) => set_blocked(args, data, false),
        UserCommand::ResetPassword(args) => show(
            perform(data, Request::ResetPassword(args.account()))?,
            "",
            args.json,
        ),
        UserCommand::List(args) => {
            show(perform(data, Request::ListUsers(args.role))?, "", args.json)
        }
    }
}

fn add(args: &AddArgs) -> Result<Request, Failure> {
    let of_patients = [
        &args.name,
        &args.surname,
        &args.hospital_account,
        &args.tidepool,
    ];
    if args.role != UserRole::Patient && of_patients.iter().any(|given| given.is_some()) {
        return Err(Failure::usage(
            "--name, --surname, --hospital-account and --tidepool are for --role patient only",
        ));
    }
    let file = args.password_file.as_deref();
    let ask = || ask::password(file, &args.login, "--password-file");
    Ok(if args.role == UserRole::Patient {
        Request::AddPatient {
            dni: args.login.clone(),
            name: args.name.clone().unwrap_or_default(),
            surname: args.surname.clone().unwrap_or_default(),
            email: args.email.clone(),
            hospital_account: args.hospital_account.clone().unwrap_or_default(),
            tidepool: args.tidepool.clone(),
            // Nobody but the patient should know it.
            password: file.map(|_| ask()).transpose()?,
        }
    } else {
        Request::AddStaff {
            username: args.login.clone(),
            email: args.email.clone(),
            admin: args.role == UserRole::Admin,
            password: ask()?,
        }
    })
}

fn set_blocked(args: &AccountArgs, data: &DataDir, blocked: bool) -> Result<(), Failure> {
    let account = args.account();
    let response = perform(data, Request::SetBlocked { account, blocked })?;
    let done = if blocked {
        "is blocked"
    } else {
        "is not blocked"
    };
    show(response, done, args.json)
}

impl AccountArgs {
    fn account(&self) -> Account {
        match self.role {
            UserRole::Patient => Account::Patient(self.login.clone()),
            UserRole::Staff | UserRole::Admin => Account::Staff(self.login.clone()),
        }
    }
}

fn show(response: Response, done: &str, json: bool) -> Result<(), Failure> {
    match response {
        Response::User(user) if json => output::json(&user),
        Response::User(user) => output::line(&format!("{} {} {done}", role_name(&user), user.name)),
        Response::Users(users) if json => output::json(&users),
        Response::Users(users) => table(&users),
        Response::Code { code, valid_hours } if json => output::json(&serde_json::json!({
            "code": code.expose(),
            "valid_hours": valid_hours,
        })),
        Response::Code { code, valid_hours } => output::line(&told(&code, valid_hours)),
        Response::Invited {
            user,
            code,
            valid_hours,
        } if json => {
            let mut shown = serde_json::json!({
                "code": code.expose(),
                "valid_hours": valid_hours,
            });
            shown["user"] = serde_json::to_value(user).unwrap_or_default();
            output::json(&shown)
        }
        Response::Invited {
            user,
            code,
            valid_hours,
        } => {
            let told = told(&code, valid_hours);
            output::line(&format!(
                "{} {} {done}\n{told}",
                role_name(&user),
                user.name
            ))
        }
        other => Err(Failure::new(format!("unexpected answer: {other:?}"))),
    }
}

fn told(code: &Secret, valid_hours: u64) -> String {
    format!(
        "One-time code: {}\nIt works once, for {valid_hours} h, at /reset-password on this node.",
        code.expose()
    )
}

fn role_name(user: &User) -> &'static str {
    match user.role {
        Some(UserRole::Patient) => "patient",
        Some(UserRole::Staff) => "staff",
        Some(UserRole::Admin) => "admin",
        None => "no role",
    }
}

fn table(users: &[User]) -> Result<(), Failure> {
    let width = |least: usize, of: &dyn Fn(&User) -> usize| {
        let widest = users.iter().map(of).max();
        widest.unwrap_or(0).max(least)
    };
    let width_login = width(5, &|user| user.name.chars().count());
    let width_name = width(4, &|user| person(user).chars().count());
    let mut text = format!(
        "{:<8} {:>6}  {:width_login$}  {:width_name$}  {:8}  EMAIL",
        "ROLE", "ID", "LOGIN", "NAME", ""
    );
    for user in users {
        let blocked = if user.blocked { "blocked" } else { "" };
        let (role, id, login, email) = (role_name(user), user.id, &user.name, &user.email);
        let name = person(user);
        text.push_str(&format!(
            "\n{role:<8} {id:>6}  {login:width_login$}  {name:width_name$}  {blocked:8}  {email}"
        ));
    }
    output::line(&text)
}

fn person(user: &User) -> &str {
    user.person.as_deref().unwrap_or_default()
}
