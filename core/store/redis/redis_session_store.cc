#include "core/store/redis/redis_session_store.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/store/redis/redis_scripts.h"

namespace gruserve {
namespace {

constexpr char kKeyPrefix[] = "gs:{:";
constexpr char kKeyEnd[] = "}";
// Redis refuses a time to live whose end it cannot count: a century is for ever.
constexpr absl::Duration kMostTtl = absl::Hours(24 * 365 * 100);

std::string KeyOf(const std::string& id) { return kKeyPrefix + id + kKeyEnd; }
std::string StepText(int64_t step) { return absl::StrFormat("%020d", step); }
std::string Milliseconds(absl::Duration time) {
  return absl::StrCat(std::max<int64_t>(1, absl::ToInt64Milliseconds(std::min(time, kMostTtl))));
}

RedisCommand Call(const std::string& sha1, const std::string& id, RedisCommand arguments) {
  RedisCommand command = {"EVALSHA", sha1, "1", KeyOf(id)};
  command.insert(command.end(), std::make_move_iterator(arguments.begin()),
                 std::make_move_iterator(arguments.end()));
  return command;
}

const std::string& AcquireSha1() {
  static const auto* const sha1 = new std::string(kAcquireScript.sha1());
  return *sha1;
}
const std::string& PutSha1() {
  static const auto* const sha1 = new std::string(kPutScript.sha1());
  return *sha1;
}
const std::string& TouchSha1() {
  static const auto* const sha1 = new std::string(kTouchScript.sha1());
  return *sha1;
}

// Element `i` of a list, empty where it is not there.
std::string TextAt(const RedisReply& reply, size_t i) {
  return i < reply.list.size() ? reply.list[i].text : std::string();
}
uint64_t NumberAt(const RedisReply& reply, size_t i) {
  uint64_t number = 0;
  return absl::SimpleAtoi(TextAt(reply, i), &number) ? number : 0;
}

bool MissesScripts(const RedisReply& reply) {
  return reply.kind == RedisReply::Kind::kError && reply.text.rfind("NOSCRIPT", 0) == 0;
}

StoreResult ResultOf(const RedisReply& reply, const std::string& id) {
  const std::string word = TextAt(reply, 0);
  if (word == "OK") return {StoreOutcome::kOk, "", 0, ""};
  if (word == "ABSENT") {
    return {StoreOutcome::kAbsent, absl::StrCat("the store has no session \"", id, "\""), 0, ""};
  }
  if (word == "STALE") {
    return {StoreOutcome::kStale,
            absl::StrCat("session \"", id, "\" is stored at step ", NumberAt(reply, 1), ", later"), 0, ""};
  }
  if (word == "FENCED") {
    std::string owner = TextAt(reply, 2);
    return {StoreOutcome::kFenced,
            absl::StrCat("session \"", id, "\" is stored under epoch ", TextAt(reply, 1),
                         owner.empty() ? ", released" : ", by another owner"),
            NumberAt(reply, 1), std::move(owner)};
  }
  return {StoreOutcome::kUnavailable, absl::StrCat("Redis answers: ", reply.text), 0, ""};
}

Acquired AcquiredOf(const RedisReply& reply, const std::string& id) {
  Acquired acquired;
  const std::string word = TextAt(reply, 0);
  acquired.previous_epoch = NumberAt(reply, 2);
  acquired.previous_owner = TextAt(reply, 3);
  if (word == "CREATED") {
    acquired.outcome = StoreOutcome::kOk;
    acquired.created = true;
    acquired.epoch = NumberAt(reply, 1);
  } else if (word == "EXISTS") {
    acquired.outcome = StoreOutcome::kExists;
    acquired.message = absl::StrCat("the store has a session \"", id, "\" already");
  } else if (word == "OK") {
    acquired.epoch = NumberAt(reply, 1);
    ChooseCheckpoint(TextAt(reply, 4), TextAt(reply, 5), &acquired);
  } else {
    StoreResult result = ResultOf(reply, id);
    acquired.outcome = result.outcome;
    acquired.message = std::move(result.message);
  }
  return acquired;
}

std::string IdOf(const std::string& key) {
  constexpr size_t kAround = sizeof(kKeyPrefix) - 1 + sizeof(kKeyEnd) - 1;
  return key.size() > kAround ? key.substr(sizeof(kKeyPrefix) - 1, key.size() - kAround) : std::string();
}

}  // namespace

std::string RedisScript::sha1() const {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const std::string body = text;
  EVP_Digest(body.data(), body.size(), digest, &size, EVP_sha1(), nullptr);
  return absl::BytesToHexString(std::string(reinterpret_cast<const char*>(digest), size));
}

absl::StatusOr<std::unique_ptr<RedisSessionStore>> RedisSessionStore::Open(const RedisAddress& address) {
  std::unique_ptr<RedisSessionStore> store(new RedisSessionStore(address));
  GRUSERVE_ASSIGN_OR_RETURN(
      const std::vector<RedisReply> replies,
      store->Exchange({{"CONFIG", "GET", "appendonly"}, {"CONFIG", "GET", "appendfsync"}}));
  if (TextAt(replies[0], 1) == "yes" && TextAt(replies[1], 1) == "always") {
    store->durability_ = DurabilityClass::kPowerLoss;
  }
  return store;
}

absl::Status RedisSessionStore::Connect() {
  absl::StatusOr<std::unique_ptr<RedisConnection>> connection = RedisConnection::Open(address_);
  if (!connection.ok()) {
    // Whoever reads it must know which server to look after.
    return absl::Status(connection.status().code(),
                        absl::StrCat(description(), ": ", std::string(connection.status().message())));
  }
  connection_ = *std::move(connection);
  absl::Status loaded = LoadScripts();
  if (!loaded.ok()) connection_.reset();
  return loaded;
}

absl::Status RedisSessionStore::LoadScripts() {
  const std::vector<RedisCommand> load = {{"SCRIPT", "LOAD", kAcquireScript.text},
                                          {"SCRIPT", "LOAD", kPutScript.text},
                                          {"SCRIPT", "LOAD", kTouchScript.text}};
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<RedisReply> replies, connection_->Exchange(load));
  for (const RedisReply& reply : replies) {
    if (reply.kind == RedisReply::Kind::kError)
      return absl::UnavailableError(absl::StrCat("Redis takes no scripts: ", reply.text));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RedisReply>> RedisSessionStore::Exchange(
    const std::vector<RedisCommand>& commands) {
  const absl::MutexLock lock(&mu_);
  if (connection_ == nullptr) GRUSERVE_RETURN_IF_ERROR(Connect());
  absl::StatusOr<std::vector<RedisReply>> replies = connection_->Exchange(commands);
  if (!replies.ok()) connection_.reset();
  return replies;
}

absl::StatusOr<std::vector<RedisReply>> RedisSessionStore::RunScripts(
    const std::vector<RedisCommand>& calls) {
  const absl::MutexLock lock(&mu_);
  if (connection_ == nullptr) GRUSERVE_RETURN_IF_ERROR(Connect());
  absl::StatusOr<std::vector<RedisReply>> replies = connection_->Transact(calls);
  if (replies.ok()) {
    const absl::Status repeated = RepeatWithScripts(calls, *replies);
    if (!repeated.ok()) replies = repeated;
  }
  if (!replies.ok()) connection_.reset();
  return replies;
}

absl::Status RedisSessionStore::RepeatWithScripts(const std::vector<RedisCommand>& calls,
                                                  std::vector<RedisReply>& replies) {
  std::vector<RedisCommand> refused;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (MissesScripts(replies[i])) refused.push_back(calls[i]);
  }
  if (refused.empty()) return absl::OkStatus();
  GRUSERVE_RETURN_IF_ERROR(LoadScripts());
  GRUSERVE_ASSIGN_OR_RETURN(std::vector<RedisReply> again, connection_->Transact(refused));
  auto next = again.begin();
  for (RedisReply& reply : replies) {
    if (MissesScripts(reply)) reply = std::move(*next++);
  }
  return absl::OkStatus();
}

std::vector<Acquired> RedisSessionStore::AcquireBatch(std::span<const AcquireRequest> requests) {
  std::vector<RedisCommand> commands;
  for (const AcquireRequest& request : requests) {
    const int mode = request.mode == AcquireMode::kCreate ? 0 : request.mode == AcquireMode::kResume ? 1 : 2;
    commands.push_back(Call(AcquireSha1(), request.id,
                            {absl::StrCat(mode), request.owner, StepText(request.first_step),
                             request.first_checkpoint, Milliseconds(request.ttl)}));
  }
  const absl::StatusOr<std::vector<RedisReply>> replies = RunScripts(commands);
  std::vector<Acquired> acquired(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    if (replies.ok()) {
      acquired[i] = AcquiredOf((*replies)[i], requests[i].id);
    } else {
      acquired[i].message = std::string(replies.status().message());
    }
  }
  return acquired;
}

std::vector<StoreResult> RedisSessionStore::Run(const std::vector<RedisCommand>& commands) {
  const absl::StatusOr<std::vector<RedisReply>> replies = RunScripts(commands);
  std::vector<StoreResult> results;
  for (size_t i = 0; i < commands.size(); ++i) {
    results.push_back(replies.ok() ? ResultOf((*replies)[i], IdOf(commands[i][3]))
                                   : StoreResult{StoreOutcome::kUnavailable,
                                                 std::string(replies.status().message()), 0, ""});
  }
  return results;
}

std::vector<StoreResult> RedisSessionStore::PutBatch(std::span<const StorePut> puts) {
  std::vector<RedisCommand> commands;
  for (const StorePut& put : puts) {
    commands.push_back(Call(PutSha1(), put.claim.id,
                            {absl::StrCat(put.claim.epoch), put.claim.owner, StepText(put.step),
                             put.checkpoint, Milliseconds(put.ttl), put.recreate ? "1" : "0"}));
  }
  return Run(commands);
}

std::vector<StoreResult> RedisSessionStore::Renew(std::span<const StoreClaim> claims, absl::Duration ttl) {
  std::vector<RedisCommand> commands;
  for (const StoreClaim& claim : claims) {
    commands.push_back(
        Call(TouchSha1(), claim.id, {absl::StrCat(claim.epoch), claim.owner, "renew", Milliseconds(ttl)}));
  }
  return Run(commands);
}

StoreResult RedisSessionStore::Touch(const StoreClaim& claim, const char* what) {
  return Run({Call(TouchSha1(), claim.id, {absl::StrCat(claim.epoch), claim.owner, what, "0"})}).front();
}

StoreResult RedisSessionStore::Release(const StoreClaim& claim) { return Touch(claim, "release"); }

StoreResult RedisSessionStore::Delete(const StoreClaim& claim) { return Touch(claim, "delete"); }

Acquired RedisSessionStore::Get(const std::string& id) {
  Acquired acquired;
  const absl::StatusOr<std::vector<RedisReply>> replies =
      Exchange({{"HMGET", KeyOf(id), "e", "n", "p", "c"}});
  if (!replies.ok()) {
    acquired.message = std::string(replies.status().message());
  } else if (replies->front().kind != RedisReply::Kind::kList) {
    acquired.message = absl::StrCat("Redis answers: ", replies->front().text);
  } else if (replies->front().list.front().kind == RedisReply::Kind::kNil) {
    acquired.outcome = StoreOutcome::kAbsent;
    acquired.message = absl::StrCat("the store has no session \"", id, "\"");
  } else {
    acquired.epoch = NumberAt(replies->front(), 0);
    const size_t newest = TextAt(replies->front(), 3) == "p" ? 2 : 1;
    ChooseCheckpoint(TextAt(replies->front(), newest), TextAt(replies->front(), 3 - newest), &acquired);
  }
  return acquired;
}

absl::StatusOr<StoredPage> RedisSessionStore::List(const std::string& next, int64_t limit) {
  const std::string pattern = absl::StrCat(kKeyPrefix, "*", kKeyEnd);
  GRUSERVE_ASSIGN_OR_RETURN(
      const std::vector<RedisReply> scanned,
      Exchange({{"SCAN", next.empty() ? "0" : next, "MATCH", pattern, "COUNT", absl::StrCat(limit)}}));
  if (scanned.front().list.size() != 2)
    return absl::UnavailableError(absl::StrCat("Redis answers: ", scanned.front().text));
  StoredPage page;
  if (const std::string cursor = TextAt(scanned.front(), 0); cursor != "0") page.next = cursor;
  std::vector<RedisCommand> commands;
  for (const RedisReply& key : scanned.front().list[1].list)
    commands.push_back({"HMGET", key.text, "e", "o", "s"});
  if (commands.empty()) return page;
  GRUSERVE_ASSIGN_OR_RETURN(const std::vector<RedisReply> records, Exchange(commands));
  for (size_t i = 0; i < records.size(); ++i) {
    if (TextAt(records[i], 0).empty()) continue;  // It went meanwhile.
    page.sessions.push_back({IdOf(commands[i][1]), NumberAt(records[i], 0), TextAt(records[i], 1),
                             static_cast<int64_t>(NumberAt(records[i], 2))});
  }
  return page;
}

std::string RedisSessionStore::description() const {
  return address_.host.empty() ? absl::StrCat("redis-socket:", address_.unix_socket)
                               : absl::StrCat(address_.tls.has_value() ? "rediss://" : "redis://",
                                              address_.host, ":", address_.port, "/", address_.database);
}

}  // namespace gruserve
