//! A bank: transfers between accounts on any shards, in all the ways in which clients make them, and looks at all accounts, in
//! all the ways in which clients read. Whatever happens meanwhile, a look finds the same sum.

use kv_core::resp::client::Value;
use kv_core::resp::number::parse_i64;
use kv_core::structs::random::Random;

pub type Words = Vec<Vec<u8>>;

/// Where the accounts of a script come from: all it uses are declared, one is, or none; the others are arguments.
const NAMES: &str = "local all = {} for _, k in ipairs(KEYS) do all[#all + 1] = k end \
    for i = 2, #ARGV do all[#all + 1] = ARGV[i] end local amount = ARGV[1] ";
/// It takes its time, so that it may have to go on somewhere else.
const WAIT: &str = "local n = 0 repeat n = n + 1 until n == 40000 ";

const MOVE: [&str; 3] = [
    "redis.call('decrby', all[1], amount) WAIT redis.call('incrby', all[2], amount) return 1",
    // It sees too late that there is not enough, and puts it back.
    "local left = redis.call('decrby', all[1], amount) WAIT if left < 0 then redis.call('incrby', all[1], amount) return 0 end \
     redis.call('incrby', all[2], amount) return 1",
    "local left = tonumber(redis.call('get', all[1]) or 0) - amount WAIT if left < 0 then return 0 end \
     redis.call('set', all[1], left) redis.call('incrby', all[2], amount) return 1",
];
const LOOK: [&str; 2] = [
    "return redis.call('mget', unpack(all))",
    "local sum = 0 for _, k in ipairs(all) do sum = sum + (redis.call('get', k) or 0) WAIT end return sum",
];

#[derive(Debug)]
pub struct Bank {
    accounts: Vec<Vec<u8>>,
}

/// What somebody does, as requests that are sent at once.
#[derive(Debug)]
pub enum Deed {
    /// The answers are of no matter, as long as they are no errors.
    Transfer(Vec<Words>),
    /// The last answer is about all accounts.
    Look(Vec<Words>),
    /// The last answer tells what two accounts hold, which are watched and are to get other values (`Bank::exchange`).
    Watch(Vec<Words>, [usize; 2]),
}

fn words(list: &[&str]) -> Words {
    list.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// What the accounts hold together, by an answer to a look; none if that is none.
pub fn sum_of(answer: &Value) -> Option<i64> {
    match answer {
        Value::Int(sum) => Some(*sum),
        Value::Nil => Some(0),
        Value::Array(parts) => parts.iter().map(sum_of).sum(),
        other => other.bytes().and_then(parse_i64),
    }
}

impl Bank {
    /// What all accounts hold together.
    pub const SUM: i64 = 7000;
    const ACCOUNTS: usize = 7;

    pub fn new() -> Bank {
        Bank { accounts: (0..Bank::ACCOUNTS).map(|at| format!("account:{at}").into_bytes()).collect() }
    }

    pub fn accounts(&self) -> &[Vec<u8>] {
        &self.accounts
    }

    /// The request that opens all accounts, if none is there.
    pub fn open(&self) -> Words {
        let share = Bank::SUM / Bank::ACCOUNTS as i64;
        let pairs = self.accounts.iter().flat_map(|account| [account.clone(), share.to_string().into_bytes()]);
        words(&["MSETNX"]).into_iter().chain(pairs).collect()
    }

    /// The request that tells what all accounts hold.
    pub fn balances(&self) -> Words {
        [words(&["MGET"]), self.accounts.clone()].concat()
    }

    pub fn deed(&self, random: &mut Random) -> Deed {
        match random.below(8) {
            0..3 => self.look(random),
            3 => {
                let two = self.two(random);
                let both = two.map(|at| self.accounts[at].clone());
                Deed::Watch(["WATCH", "MGET"].map(|name| [words(&[name]), both.to_vec()].concat()).into(), two)
            }
            _ => Deed::Transfer(self.transfer(random)),
        }
    }

    /// Two different accounts.
    fn two(&self, random: &mut Random) -> [usize; 2] {
        let from = random.index(self.accounts.len());
        [from, (from + 1 + random.index(self.accounts.len() - 1)) % self.accounts.len()]
    }

    /// Requests that need no answer in between.
    pub fn transfer(&self, random: &mut Random) -> Vec<Words> {
        let [from, to] = self.two(random).map(|at| self.accounts[at].clone());
        let amount = (1 + random.below(90)).to_string().into_bytes();
        if random.one_in(3) {
            let less = vec![b"DECRBY".to_vec(), from, amount.clone()];
            return together([less, vec![b"INCRBY".to_vec(), to, amount]]);
        }
        let script = self.script("EVAL", &MOVE, amount, &[from, to], random);
        if random.one_in(5) { together([script, words(&["PING"])]) } else { vec![script] }
    }

    fn look(&self, random: &mut Random) -> Deed {
        Deed::Look(match random.below(4) {
            0 => vec![self.balances()],
            1 => together(self.accounts.iter().map(|account| vec![b"GET".to_vec(), account.clone()])),
            kind => {
                let name = ["EVAL", "EVAL_RO"][random.index(2)];
                let script = self.script(name, &LOOK, b"0".to_vec(), &self.accounts, random);
                if kind == 2 { together([script]) } else { vec![script] }
            }
        })
    }

    /// A script of some of these, that declares all of the accounts which it uses, or some of them.
    fn script(&self, name: &str, code: &[&str], amount: Vec<u8>, accounts: &[Vec<u8>], random: &mut Random) -> Words {
        let code = code[random.index(code.len())].replace("WAIT", if random.one_in(8) { WAIT } else { "" });
        let declared = [accounts.len(), accounts.len(), 1, 0][random.index(4)];
        let (keys, others) = accounts.split_at(declared);
        let mut request = words(&[name, &format!("{NAMES}{code}"), &declared.to_string()]);
        request.extend_from_slice(keys);
        request.push(amount);
        request.extend_from_slice(others);
        request
    }

    /// After `Deed::Watch`: other values for the two accounts, whose balances were these.
    pub fn exchange(&self, [from, to]: [usize; 2], balances: &Value, random: &mut Random) -> Option<Vec<Words>> {
        let Value::Array(balances) = balances else { return None };
        let [less, more] = &balances[..] else { return None };
        let amount = 1 + random.below(90) as i64;
        let set =
            |at: usize, value: i64| vec![b"SET".to_vec(), self.accounts[at].clone(), value.to_string().into_bytes()];
        Some(together([set(from, sum_of(less)? - amount), set(to, sum_of(more)? + amount)]))
    }
}

impl Default for Bank {
    fn default() -> Bank {
        Bank::new()
    }
}

/// A transaction.
fn together(commands: impl IntoIterator<Item = Words>) -> Vec<Words> {
    std::iter::once(words(&["MULTI"])).chain(commands).chain([words(&["EXEC"])]).collect()
}
